"""What the official clients of OpenAI and Anthropic show of a whole server with keys: answers, headers and errors.

The parts of each route's answers are tested beside the routes; here the clients' own ways of asking and of failing.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel
from support.real_gateway import RealGateway

from penstock.testing import Bytes, Cut, Stream

HI: Any = [{"role": "user", "content": "Say three words"}]
ARGUMENTS = '{"city":"Bern"}'
TOOL: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
PIECE = (
    b'{"id":"a","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":"w"}}]}'
)


class Place(BaseModel):
    city: str


@pytest.fixture
def client(keyed_gateway: RealGateway) -> Iterator[openai.OpenAI]:
    key = keyed_gateway.secrets["developer"]
    with openai.OpenAI(base_url=f"{keyed_gateway.url}/v1", api_key=key, max_retries=0) as it:
        yield it


@pytest.fixture
def claude(keyed_gateway: RealGateway) -> Iterator[anthropic.Anthropic]:
    key = keyed_gateway.secrets["developer"]
    with anthropic.Anthropic(base_url=keyed_gateway.url, api_key=key, max_retries=0) as it:
        yield it


MODELS = pytest.mark.parametrize("model", ["big", "claude", "gem", "spread"])


@MODELS
def test_a_chat_whole_and_in_a_stream(client: openai.OpenAI, model: str) -> None:
    whole = client.chat.completions.create(model=model, messages=HI)
    assert whole.choices[0].message.content == "Say three words"
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 3
    with client.chat.completions.stream(model=model, messages=HI) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
        assert stream.get_final_completion().choices[0].message.content == text == "Say three words"


@MODELS
def test_a_tool_and_a_structured_answer(client: openai.OpenAI, model: str) -> None:
    asked: Any = [{"role": "user", "content": ARGUMENTS}]
    chosen: Any = {"type": "function", "function": {"name": "weather"}}
    called = client.chat.completions.create(model=model, messages=asked, tools=[TOOL], tool_choice=chosen)
    (call,) = called.choices[0].message.tool_calls or ()
    assert (call.function.name, call.function.arguments) == ("weather", ARGUMENTS)  # type: ignore[union-attr]
    parsed = client.chat.completions.parse(model=model, messages=asked, response_format=Place)
    assert parsed.choices[0].message.parsed == Place(city="Bern")


def test_headers_of_an_answer(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="big", messages=HI)
    assert raw.parse().choices[0].message.content == "Say three words"
    assert len(raw.headers["x-penstock-trace-id"]) == 32
    assert raw.headers["content-type"] == "application/json"
    assert int(raw.headers["x-ratelimit-limit-requests"]) == 1_000_000
    assert 0 < int(raw.headers["x-ratelimit-remaining-requests"]) < 1_000_000


def test_a_limit_that_is_reached(keyed_gateway: RealGateway) -> None:
    key = keyed_gateway.secrets["frugal"]
    with openai.OpenAI(base_url=f"{keyed_gateway.url}/v1", api_key=key, max_retries=0) as client:
        client.chat.completions.create(model="big", messages=HI)
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model="big", messages=HI)
    assert caught.value.code == "rate_limit_exceeded"
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 7200
    with (
        anthropic.Anthropic(base_url=keyed_gateway.url, api_key=key, max_retries=0) as client_of_anthropic,
        pytest.raises(anthropic.RateLimitError, match="frugal") as limited,
    ):
        client_of_anthropic.messages.create(model="claude", max_tokens=5, messages=HI)
    assert "retry-after" in limited.value.response.headers


def test_a_key_that_is_none(keyed_gateway: RealGateway) -> None:
    with (
        openai.OpenAI(base_url=f"{keyed_gateway.url}/v1", api_key="pst_no", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.models.list()
    assert caught.value.code == "invalid_api_key"
    with (
        anthropic.Anthropic(base_url=keyed_gateway.url, api_key="pst_no", max_retries=0) as other,
        pytest.raises(anthropic.AuthenticationError),
    ):
        other.messages.create(model="claude", max_tokens=5, messages=HI)


def test_a_model_that_is_none_and_a_field_that_is_wrong(client: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    with pytest.raises(openai.NotFoundError, match="did you mean 'big'") as missing:
        client.chat.completions.create(model="bigg", messages=HI)
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(model="big", messages="Hi")  # type: ignore[arg-type]
    assert wrong.value.param == "messages"
    with pytest.raises(anthropic.NotFoundError, match="not configured"):
        claude.messages.create(model="clade", max_tokens=5, messages=HI)
    with pytest.raises(anthropic.BadRequestError, match="stop_sequences"):
        claude.messages.create(model="claude", max_tokens=5, messages=HI, stop_sequences="x")  # type: ignore[arg-type]


def test_a_role_that_is_too_small(client: openai.OpenAI) -> None:
    with pytest.raises(openai.PermissionDeniedError, match="needs the role admin"):
        client.get("/../api/v1/keys", cast_to=object)


def test_an_upstream_that_breaks_off(keyed_gateway: RealGateway, client: openai.OpenAI) -> None:
    keyed_gateway.upstream.answers.append(Stream(events=[PIECE, Cut()]))
    stream = client.chat.completions.create(model="big", messages=HI, stream=True)
    with pytest.raises(openai.APIError, match="closed the connection"):
        assert [chunk.choices[0].delta.content for chunk in stream] == ["w"]
    keyed_gateway.upstream.answers += [Cut()] * 4
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="big", messages=HI)
    assert (caught.value.status_code, caught.value.code) == (502, "upstream_failed")
    keyed_gateway.upstream.answers.clear()


def test_a_server_that_is_not_there() -> None:
    with (
        openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="x", max_retries=0) as client,
        pytest.raises(openai.APIConnectionError),
    ):
        client.models.list()


@pytest.mark.drives("POST /v1/messages")
@pytest.mark.parametrize("model", ["claude", "big", "gem"])
def test_messages_of_anthropics_client(claude: anthropic.Anthropic, model: str) -> None:
    whole = claude.messages.create(model=model, max_tokens=50, messages=HI)
    assert [block.text for block in whole.content if block.type == "text"] == ["Say three words"]
    with claude.messages.stream(model=model, max_tokens=50, messages=HI) as stream:
        assert "".join(stream.text_stream) == "Say three words"
        assert stream.get_final_message().stop_reason == "end_turn"


@pytest.mark.drives(
    "GET /v1/vector_stores",
    "GET /v1/vector_stores/{store_id}",
    "GET /v1/vector_stores/{store_id}/files",
    "POST /v1/vector_stores/{store_id}/search",
)
def test_knowledge_as_vector_stores(client: openai.OpenAI) -> None:
    (store,) = client.vector_stores.list().data
    files = client.vector_stores.files.list(store.id).data
    assert client.vector_stores.retrieve(store.id).file_counts.completed == len(files)
    (first, *_) = client.vector_stores.search(store.id, query="How long is the weir?").data
    assert first.file_id in {file.id for file in files}
    assert first.filename.endswith("gate.md")
    assert "84 metres" in first.content[0].text


@pytest.mark.drives("POST /v1/rerank")
def test_reranking_by_the_clients_own_post(client: openai.OpenAI) -> None:
    body = {"model": "all-minilm-l6-v2", "query": "close the gate", "documents": ["a wall", "close the gate"]}
    ranked: Any = client.post("/rerank", cast_to=object, body=body)
    assert [each["index"] for each in ranked["results"]] == [1, 0]


def test_embeddings_of_this_machine_and_of_a_provider(client: openai.OpenAI) -> None:
    here = client.embeddings.create(model="all-minilm-l6-v2", input=["a gate"])
    there = client.embeddings.create(model="any", input=["a gate"])
    assert (len(here.data[0].embedding), len(there.data[0].embedding)) == (384, 2)


async def test_many_at_once(keyed_gateway: RealGateway) -> None:
    key = keyed_gateway.secrets["developer"]
    async with openai.AsyncOpenAI(base_url=f"{keyed_gateway.url}/v1", api_key=key, max_retries=0) as client:
        asked = [
            client.chat.completions.create(model="spread", messages=[{"role": "user", "content": f"number {at}"}])
            for at in range(50)
        ]
        answers = await asyncio.gather(*asked)
    assert [answer.choices[0].message.content for answer in answers] == [f"number {at}" for at in range(50)]


def test_a_slow_stream_can_be_left(keyed_gateway: RealGateway, client: openai.OpenAI) -> None:
    left, upstream = keyed_gateway.upstream.left, keyed_gateway.upstream
    upstream.answers.append(Stream(events=[PIECE, asyncio.Event(), Bytes(b"")]))
    with client.chat.completions.create(model="big", messages=HI, stream=True) as stream:
        assert next(iter(stream)).choices[0].delta.content == "w"

    async def wait() -> None:
        await upstream.until(lambda it: it.left > left)

    keyed_gateway.on_upstream(wait())
