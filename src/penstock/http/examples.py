"""Bodies that the OpenAPI file shows, one for each of the main routes. The tests send them."""

from __future__ import annotations

from typing import Any

Example = dict[str, Any]

MESSAGES = [{"role": "user", "content": "How long may a customer return a product?"}]
CHAT: Example = {"model": "docs", "messages": MESSAGES}
COMPLETION: Example = {"model": "default", "prompt": "A penstock is", "max_tokens": 20}
EMBEDDING: Example = {"model": "all-minilm-l6-v2", "input": ["a gate", "a wheel"]}
ANTHROPIC: Example = {"model": "default", "max_tokens": 200, "messages": MESSAGES}
COUNT: Example = {"model": "default", "messages": MESSAGES}
RESPONSE: Example = {"model": "default", "input": "Say hello."}
MODERATION: Example = {"model": "moderation", "input": "I will break the gate."}
RERANK: Example = {
    "model": "all-minilm-l6-v2",
    "query": "how long may I return it?",
    "documents": ["We ship on Mondays.", "A product can be returned within 30 days."],
    "top_n": 1,
}
IMAGE: Example = {"model": "images", "prompt": "A gate in the mountains"}
SPEECH: Example = {"model": "speech", "voice": "alloy", "input": "The gate is closed."}
KEY: Example = {"name": "shop", "role": "developer", "models": ["docs"]}
PROJECT: Example = {"id": "shop", "title": "The shop"}
PUSH: Example = {
    "documents": [{"key": "hr/leave.md", "text": "# Leave\n\nThirty days.", "metadata": {"team": "hr"}}]
}
SEARCH: Example = {"q": "returns", "limit": 5}
