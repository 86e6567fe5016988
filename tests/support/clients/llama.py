"""Asks a server by LlamaIndex, and prints what came as one JSON object: `llama.py URL KEY MODEL EMBEDDER`."""

import json
import sys

from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

url, key, model, embedder = sys.argv[1:]


class Place(BaseModel):
    """A place."""

    city: str


def weather(city: str) -> str:
    """The weather of a city."""
    return f"Rain in {city}"


llm = OpenAILike(
    model=model,
    api_base=f"{url}/v1",
    api_key=key,
    is_chat_model=True,
    is_function_calling_model=True,
    should_use_structured_outputs=True,
    max_retries=0,
)
asked = [ChatMessage(role="user", content="Say three words")]
tool = FunctionTool.from_defaults(weather)
response = llm.chat_with_tools([tool], user_msg='{"city":"Bern"}', tool_required=True)
calls = llm.get_tool_calls_from_response(response)
vectors = OpenAILikeEmbedding(model_name=embedder, api_base=f"{url}/v1", api_key=key)
found = {
    "chat": llm.chat(asked).message.content,
    "stream": "".join(piece.delta or "" for piece in llm.stream_chat(asked)),
    "complete": llm.complete("Say three words").text,
    "tool": [[call.tool_name, call.tool_kwargs] for call in calls],
    "structured": llm.structured_predict(Place, PromptTemplate("{answer}"), answer='{"city":"Bern"}').model_dump(),
    "embeddings": [len(each) for each in vectors.get_text_embedding_batch(["a gate", "a wheel"])],
}
sys.stdout.write(json.dumps(found))
