"""LangChain's client of OpenAI's API in front of a whole server."""

from collections.abc import Iterator

import pytest
from pydantic import BaseModel, SecretStr
from support.real_gateway import RealGateway

pytest.importorskip("langchain_openai", reason="LangChain's client: pip install langchain-openai")

from langchain_core.messages import AIMessageChunk
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

MODELS = pytest.mark.parametrize("model", ["big", "claude", "gem"])
ARGUMENTS = '{"city":"Bern"}'


class Place(BaseModel):
    """A place."""

    city: str


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"Rain in {city}"


@pytest.fixture(autouse=True)
def no_tracing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """LangChain sends nothing elsewhere."""
    for name in ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2"):
        monkeypatch.setenv(name, "false")
    yield


def chat(gateway: RealGateway, model: str) -> ChatOpenAI:
    key = SecretStr(gateway.secrets["developer"])
    return ChatOpenAI(model=model, base_url=f"{gateway.url}/v1", api_key=key, max_retries=0)


@MODELS
def test_a_chat_whole_and_in_a_stream(keyed_gateway: RealGateway, model: str) -> None:
    llm = chat(keyed_gateway, model)
    answer = llm.invoke([("system", "Be brief."), ("user", "Say three words")])
    assert answer.text == "Say three words"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == 3
    whole = AIMessageChunk("")
    for piece in llm.stream("Say three words"):
        whole += piece
    assert whole.text == "Say three words"


@MODELS
def test_tools_and_structured_answers(keyed_gateway: RealGateway, model: str) -> None:
    llm = chat(keyed_gateway, model)
    called = llm.bind_tools([weather], tool_choice="weather").invoke(ARGUMENTS)
    assert [(call["name"], call["args"]) for call in called.tool_calls] == [("weather", {"city": "Bern"})]
    assert weather.invoke(called.tool_calls[0]).content == "Rain in Bern"
    for method in ("json_schema", "function_calling"):
        structured = llm.with_structured_output(Place, method=method)
        assert structured.invoke(ARGUMENTS) == Place(city="Bern")


async def test_async(keyed_gateway: RealGateway) -> None:
    llm = chat(keyed_gateway, "big")
    assert (await llm.ainvoke("Say three words")).text == "Say three words"
    assert "".join([piece.text async for piece in llm.astream("Say three words")]) == "Say three words"


@pytest.mark.parametrize(("model", "size"), [("any", 2), ("all-minilm-l6-v2", 384)])
def test_embeddings(keyed_gateway: RealGateway, model: str, size: int) -> None:
    embeddings = OpenAIEmbeddings(
        model=model,
        base_url=f"{keyed_gateway.url}/v1",
        api_key=SecretStr(keyed_gateway.secrets["developer"]),
        check_embedding_ctx_length=False,  # which would send tokens of OpenAI's models in place of text
    )
    assert [len(vector) for vector in embeddings.embed_documents(["a gate", "a wheel"])] == [size, size]
    assert len(embeddings.embed_query("a gate")) == size


def test_the_app_answers_with_its_documents(keyed_gateway: RealGateway) -> None:
    assert "forty seconds" in chat(keyed_gateway, "docs").invoke("How long does closing the gate take?").text
