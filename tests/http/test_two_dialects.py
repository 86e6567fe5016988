"""The official clients of OpenAI and Anthropic, each in front of providers of both."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from anthropic import AsyncAnthropic
from support.gateway_site import Site, site
from support.simulated import remote_target

from penstock.testing import ProviderServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

UPSTREAMS = pytest.mark.parametrize("model", ["openai", "anthropic"])
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
STRICT = CITY | {"additionalProperties": False}
ARGUMENTS = '{"city":"Bern"}'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def upstream() -> AsyncIterator[ProviderServer]:
    async with ProviderServer() as it:
        yield it


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(upstream: ProviderServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    targets = [remote_target(name, upstream) for name in ("openai", "anthropic")]
    async with site(tmp_path_factory.mktemp("site"), *targets) as it:
        yield it


def anthropic_client(gateway: Site) -> AsyncAnthropic:
    client = AsyncAnthropic(base_url=gateway.url, api_key="local", max_retries=0)
    gateway.clients.push_async_callback(client.close)
    return client


class ByOpenAI:
    """Asks with the OpenAI client, and says what came in the words of this file."""

    def __init__(self, gateway: Site) -> None:
        self._chats = gateway.client().chat.completions

    async def ask(self, model: str, content: Any, stream: bool, **fields: Any) -> dict[str, Any]:
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}]
        given = {"model": model, "messages": messages, "max_tokens": 50, **fields}
        if not stream:
            whole = await self._chats.create(**given)
            message, usage = whole.choices[0].message, whole.usage
            calls = [(call.function.name, call.function.arguments) for call in message.tool_calls or ()]
            reason = whole.choices[0].finish_reason
            return answer(message.content, calls, reason, (usage.prompt_tokens, usage.completion_tokens))
        text, names, arguments, reason, usage = "", {}, {}, None, None
        async for piece in await self._chats.create(stream=True, stream_options={"include_usage": True}, **given):
            usage = piece.usage or usage
            for choice in piece.choices:
                text += choice.delta.content or ""
                reason = choice.finish_reason or reason
                for call in choice.delta.tool_calls or ():
                    names.setdefault(call.index, call.function.name)
                    arguments[call.index] = arguments.get(call.index, "") + (call.function.arguments or "")
        calls = [(names[at], arguments[at]) for at in sorted(names)]
        return answer(text, calls, reason, (usage.prompt_tokens, usage.completion_tokens))

    async def words(self, model: str, stream: bool) -> dict[str, Any]:
        return await self.ask(model, "Say three words", stream)

    async def picture(self, model: str, stream: bool) -> dict[str, Any]:
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
        return await self.ask(model, [{"type": "text", "text": "Look here"}, image], stream)

    async def tool(self, model: str, stream: bool) -> dict[str, Any]:
        function = {"name": "weather", "description": "The weather.", "parameters": CITY}
        choice = {"type": "function", "function": {"name": "weather"}}
        tools = [{"type": "function", "function": function}]
        return await self.ask(model, ARGUMENTS, stream, tools=tools, tool_choice=choice, parallel_tool_calls=False)

    async def structured(self, model: str, stream: bool) -> dict[str, Any]:
        schema = {"name": "place", "schema": STRICT, "strict": True}
        return await self.ask(
            model, ARGUMENTS, stream, response_format={"type": "json_schema", "json_schema": schema}
        )


class ByAnthropic:
    """The same with the Anthropic client."""

    REASONS = {"end_turn": "stop", "tool_use": "tool_calls", "max_tokens": "length"}

    def __init__(self, gateway: Site) -> None:
        self._messages = anthropic_client(gateway).messages

    async def ask(self, model: str, content: Any, stream: bool, **fields: Any) -> dict[str, Any]:
        messages = [{"role": "user", "content": content}]
        given = {"model": model, "messages": messages, "system": "Be brief.", "max_tokens": 50, **fields}
        if stream:
            async with self._messages.stream(**given) as events:
                async for _ in events:
                    pass
                message = await events.get_final_message()
        else:
            message = await self._messages.create(**given)
        text = "".join(block.text for block in message.content if block.type == "text")
        calls = [
            (block.name, json.dumps(block.input, separators=(",", ":")))
            for block in message.content
            if block.type == "tool_use"
        ]
        usage = (message.usage.input_tokens, message.usage.output_tokens)
        return answer(text, calls, self.REASONS[message.stop_reason or ""], usage)

    async def words(self, model: str, stream: bool) -> dict[str, Any]:
        return await self.ask(model, "Say three words", stream)

    async def picture(self, model: str, stream: bool) -> dict[str, Any]:
        source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
        image = {"type": "image", "source": source}
        return await self.ask(model, [{"type": "text", "text": "Look here"}, image], stream)

    async def tool(self, model: str, stream: bool) -> dict[str, Any]:
        tools = [{"name": "weather", "description": "The weather.", "input_schema": CITY}]
        choice = {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}
        return await self.ask(model, ARGUMENTS, stream, tools=tools, tool_choice=choice)

    async def structured(self, model: str, stream: bool) -> dict[str, Any]:
        return await self.ask(
            model, ARGUMENTS, stream, output_config={"format": {"type": "json_schema", "schema": STRICT}}
        )


def answer(text: str | None, calls: list[Any], reason: str | None, usage: tuple[int, int]) -> dict[str, Any]:
    return {"text": text or "", "calls": calls, "reason": reason, "usage": usage}


CLIENTS = pytest.mark.parametrize("client", [ByOpenAI, ByAnthropic])


@STREAMED
@UPSTREAMS
@CLIENTS
async def test_words(gateway: Site, upstream: ProviderServer, client: Any, model: str, stream: bool) -> None:
    said = await client(gateway).words(model, stream)
    assert (said["text"], said["calls"], said["reason"]) == ("Say three words", [], "stop")
    assert said["usage"] == (3, 3)
    sent = upstream.received[-1]
    assert sent.path == {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}[model]
    assert "Be brief." in sent.body.decode()


@STREAMED
@UPSTREAMS
@CLIENTS
async def test_tools(gateway: Site, upstream: ProviderServer, client: Any, model: str, stream: bool) -> None:
    said = await client(gateway).tool(model, stream)
    assert said["calls"] == [("weather", ARGUMENTS)]
    assert said["reason"] == "tool_calls"
    body = upstream.received[-1].json
    if model == "openai":
        assert body["tools"][0]["function"]["parameters"] == CITY
        assert body["parallel_tool_calls"] is False
    else:
        assert body["tools"][0]["input_schema"] == CITY
        assert body["tool_choice"]["disable_parallel_tool_use"] is True


@STREAMED
@UPSTREAMS
@CLIENTS
async def test_pictures(gateway: Site, upstream: ProviderServer, client: Any, model: str, stream: bool) -> None:
    said = await client(gateway).picture(model, stream)
    assert said["text"].startswith("Look here")
    picture = upstream.received[-1].json["messages"][-1]["content"][1]
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    wanted: dict[str, Any] = {
        "openai": {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        "anthropic": {"type": "image", "source": source},
    }
    assert picture == wanted[model]


@STREAMED
@UPSTREAMS
@CLIENTS
async def test_structured_answers(
    gateway: Site, upstream: ProviderServer, client: Any, model: str, stream: bool
) -> None:
    said = await client(gateway).structured(model, stream)
    assert said["text"] == ARGUMENTS
    body = upstream.received[-1].json
    if model == "openai":
        assert body["response_format"]["json_schema"]["schema"] == STRICT
        assert body["response_format"]["json_schema"]["strict"] is True
    else:
        assert body["output_config"]["format"] == {"type": "json_schema", "schema": STRICT}
