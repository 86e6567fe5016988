"""What answers requests to the Responses API in its tests."""

from typing import Any

from penstock.gateway.registry import Target
from penstock.models.providers.remote import RemoteProvider
from penstock.models.providers.vendors import remote
from penstock.testing import FakeProvider
from support.gateway_site import model
from support.operations_upstream import Upstream

TOOL = {
    "type": "function",
    "name": "close",
    "parameters": {"type": "object", "properties": {"gate": {"type": "string"}}},
}

EVERYTHING = frozenset(
    {"tools", "images", "files", "response_format", "logprobs", "top_logprobs", "reasoning_effort"}
)

HI_STREAM = {"model": "tiny", "input": "Hi", "stream": True}

CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "upstream-model",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Closed."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13},
}


def local(provider: FakeProvider, **fields: Any) -> Target:
    return model(provider, features=EVERYTHING, **fields)


def elsewhere(upstream: Upstream, vendor: str, forwards: str) -> Target:
    settings = remote(f"{vendor}/upstream-model", upstream.base_url)
    return Target(
        name="big",
        kind="model",
        provider=RemoteProvider(settings),
        operations=frozenset({"chat"}),
        features=None,
        forwards=frozenset(forwards.split()),
    )
