"""Bad input, each with its message: what is wrong, where, and what to do."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.gateway_site import Site, embedder, model, site

from penstock.errors import ContextLengthExceeded, InvalidConstraint
from penstock.gateway.registry import Target
from penstock.testing import FakeProvider

CHAT = "/v1/chat/completions"
HI = [{"role": "user", "content": "Hi"}]


def app(name: str = "docs") -> Target:
    return Target(name=name, kind="app", provider=FakeProvider("Yes."), operations=frozenset({"chat"}))


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site(tmp_path_factory.mktemp("site"), model(), embedder(), app(), max_body_mb=0.1) as it:
        yield it


def message_with(content: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [*HI, *HI, *HI, {"role": "user", "content": content}]}


def not_json(reason: str) -> str:
    return f"The body is not JSON: {reason}. Send a JSON object, encoded as UTF-8."


def cannot(target: str, feature: str, param: str) -> str:
    return (
        f"'{target}' does not support {feature}, which '{param}' asks for. "
        "Leave it out, or name a model that supports it."
    )


DEEP = json.dumps(message_with([{"type": "text", "text": 5}])).encode()
OBJECT = json.dumps(message_with({"text": "Hi"})).encode()
DEEP_PATH = "messages[3].content[0].text"
UNREADABLE = [
    (b"", "The request has no body. Send a JSON object.", None),
    (b"  \n", "The request has no body. Send a JSON object.", None),
    (b"hello", not_json("invalid character (byte 0)"), None),
    (b'{"model": "tiny"', not_json("it ends too early"), None),
    (b"[1, 2]", "The body must be an object, not an array.", None),
    (b'"tiny"', "The body must be an object, not a string.", None),
    (b'{"model": "tiny"}', "'messages' is missing. Add it to the request.", "messages"),
    (b'{"messages": []}', "'messages' is empty. Send at least one message.", "messages"),
    (b'{"messages": "Hi"}', "'messages' must be an array, not a string.", "messages"),
    (
        b'{"messages": [{"content": "Hi"}]}',
        "'messages[0].role' is missing. Add it to the request.",
        "messages[0].role",
    ),
    (DEEP, f"'{DEEP_PATH}' must be a string, not an integer.", DEEP_PATH),
    (OBJECT, "'messages[3].content' must be a string or an array, not an object.", "messages[3].content"),
    (
        b'{"messages": [{"role": "user", "content": "\xff"}]}',
        not_json("it has bytes that are not UTF-8 (invalid start byte)"),
        None,
    ),
    (b'{"extra": ' + b"[" * 100_000, not_json("it is nested too deeply"), None),
]


@pytest.mark.parametrize(("body", "message", "param"), UNREADABLE)
async def test_a_body_that_cannot_be_read(plain: Site, body: bytes, message: str, param: str | None) -> None:
    status, answer, _ = await plain.post(CHAT, body)
    assert status == 400
    assert answer == {
        "error": {"message": message, "type": "invalid_request_error", "param": param, "code": "invalid_request"}
    }


SCHEMA = "response_format.json_schema.schema"
REGEX = "response_format.regex"
WRONG_VALUES = [
    ({"temperature": -1}, "'temperature' must be a number >= 0.0.", "temperature"),
    ({"temperature": "hot"}, "'temperature' must be a number, not a string.", "temperature"),
    ({"top_p": 1.5}, "'top_p' must be a number <= 1.0.", "top_p"),
    ({"max_tokens": 0}, "'max_tokens' must be an integer >= 1.", "max_tokens"),
    ({"stop": [1]}, "'stop[0]' must be a string, not an integer.", "stop[0]"),
    ({"stream": "yes"}, "'stream' must be true or false, not a string.", "stream"),
    ({"response_format": {"type": "json_schema"}}, f"'{SCHEMA}' is missing. Send the JSON schema there.", SCHEMA),
    ({"response_format": {"type": "regex"}}, f"'{REGEX}' is missing. Send the expression there.", REGEX),
]


@pytest.mark.parametrize(("fields", "message", "param"), WRONG_VALUES)
async def test_a_wrong_value(plain: Site, fields: dict[str, Any], message: str, param: str) -> None:
    status, answer, _ = await plain.chat(**fields)
    assert (status, answer["error"]["message"], answer["error"]["param"]) == (400, message, param)


IMAGE = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
AUDIO = [{"type": "text", "text": "What is said?"}, {"type": "input_audio", "input_audio": {}}]
TOOL = {"type": "function", "function": {"name": "look_up"}}
UNSUPPORTED: list[tuple[dict[str, Any], str, str]] = [
    ({"n": 2}, "n", "n"),
    ({"logprobs": True, "top_logprobs": 3}, "top_logprobs", "top_logprobs"),
    ({"tools": [TOOL]}, "tools", "tools"),
    ({"tool_choice": "required"}, "tools", "tool_choice"),
    ({"functions": [{"name": "look_up"}]}, "functions", "functions"),
    ({"messages": [*HI, {"role": "tool", "tool_call_id": "1", "content": "3"}]}, "tools", "messages[1].role"),
    ({"messages": [{"role": "user", "content": IMAGE}]}, "images", "messages[0].content[0].image_url"),
    ({"messages": [{"role": "user", "content": AUDIO}]}, "audio", "messages[0].content[1].input_audio"),
    ({"modalities": ["text", "audio"]}, "modalities", "modalities"),
    ({"logit_bias": {"50": -100}}, "logit_bias", "logit_bias"),
    ({"frequency_penalty": 0.5}, "frequency_penalty", "frequency_penalty"),
    ({"top_k": 40}, "top_k", "top_k"),
    ({"response_format": {"type": "grammar"}}, "response_format 'grammar'", "response_format.type"),
]


@pytest.mark.parametrize(("fields", "feature", "param"), UNSUPPORTED)
async def test_what_a_local_model_cannot_do_is_refused(
    plain: Site, fields: dict[str, Any], feature: str, param: str
) -> None:
    status, answer, _ = await plain.chat(**fields)
    error = answer["error"]
    assert (status, error["code"], error["param"]) == (400, "unsupported_feature", param)
    assert error["message"] == cannot("tiny", feature, param)


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 1, "top_logprobs": 0, "tools": [], "tool_choice": "none", "logit_bias": {}, "presence_penalty": 0.0},
        {"user": "u", "metadata": {"a": "b"}, "store": False, "service_tier": "auto", "parallel_tool_calls": True},
        {"n": None, "tools": None, "stop": None, "temperature": None, "response_format": None, "top_k": None},
        {"modalities": ["text"], "response_format": {"type": "text"}, "stream_options": None},
    ],
)
async def test_what_changes_nothing_is_accepted(plain: Site, fields: dict[str, Any]) -> None:
    for target in ("tiny", "docs"):
        status, answer, _ = await plain.chat(model=target, **fields)
        assert status == 200, answer


async def test_an_app_refuses_what_only_models_do(plain: Site) -> None:
    status, answer, _ = await plain.chat(model="docs", logprobs=True)
    assert (status, answer["error"]["param"]) == (400, "logprobs")
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    status, answer, _ = await plain.chat(model="docs", response_format=schema)
    assert (status, answer["error"]["param"]) == (400, "response_format")


COMPLETE, EMBED = "/v1/completions", "/v1/embeddings"
ELSEWHERE = [
    (CHAT, {"messages": HI}, "'model' is missing. Name one of tiny, docs."),
    (
        CHAT,
        {"messages": HI, "model": "vectors"},
        f"'vectors' does not answer {CHAT}. It answers {EMBED}. Name one of tiny, docs.",
    ),
    (
        COMPLETE,
        {"prompt": "Hi", "model": "docs"},
        f"'docs' does not answer {COMPLETE}. It answers {CHAT}. Name one of tiny.",
    ),
    (
        EMBED,
        {"input": "Hi", "model": "tiny"},
        f"'tiny' does not answer {EMBED}. It answers {CHAT} and {COMPLETE}. Name one of vectors.",
    ),
    (EMBED, {"input": []}, "'input' is empty. Send a string or a list of strings."),
    (EMBED, {"input": ["a", None]}, "'input[1]' must be a string."),
    (EMBED, {"input": [1, 2, 3]}, cannot("vectors", "token ids", "input")),
    (
        EMBED,
        {"input": "a", "dimensions": 4},
        "vectors makes vectors of 8 dimensions, not 4. Leave 'dimensions' out.",
    ),
    (EMBED, {"input": "a", "encoding_format": "hex"}, "'encoding_format' must be 'float' or 'base64', not 'hex'."),
    (COMPLETE, {"prompt": ["a", "b"]}, cannot("tiny", "several prompts", "prompt")),
    (COMPLETE, {"prompt": [1, 2]}, cannot("tiny", "token ids", "prompt")),
    (COMPLETE, {"prompt": "a", "logprobs": 3}, cannot("tiny", "top_logprobs", "logprobs")),
    (COMPLETE, {"prompt": "a", "suffix": "b"}, cannot("tiny", "suffix", "suffix")),
]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_a_role_that_is_none_is_not_taken_for_the_users(tmp_path: Path, path: str) -> None:
    body = {"model": "tiny", "max_tokens": 5, "messages": [*HI, {"role": "sytem", "content": "Be brief."}]}
    async with site(tmp_path) as it:
        status, answer, _ = await it.post(path, body)
    known = "system, developer, user, assistant, tool, function" if "chat" in path else "user, assistant, system"
    assert status == 400
    assert answer["error"]["message"] == f"The role 'sytem' is not known. Use one of {known}."
    assert answer["error"]["param"] == "messages[1].role"


@pytest.mark.parametrize(("path", "body", "message"), ELSEWHERE)
async def test_other_requests_that_cannot_be_answered(plain: Site, path: str, body: Any, message: str) -> None:
    default = {CHAT: {}, COMPLETE: {"model": "tiny"}, EMBED: {"model": "vectors"}}[path]
    status, answer, _ = await plain.post(path, default | body)
    assert (status, answer["error"]["message"]) == (400, message)


@pytest.mark.parametrize(
    ("asked", "guess"), [("tyni", "tiny"), ("TINY", "tiny"), ("doc", "docs"), ("gpt-9", None), ("x" * 10_000, None)]
)
async def test_a_misspelt_model(plain: Site, asked: str, guess: str | None) -> None:
    status, answer, _ = await plain.chat(model=asked)
    message = answer["error"]["message"]
    assert (status, answer["error"]["code"], answer["error"]["param"]) == (404, "model_not_found", "model")
    assert (f"did you mean {guess!r}?" in message) if guess else ("did you mean" not in message)
    assert "Served are tiny, vectors, docs." in message
    assert len(message) < 400


async def test_errors_of_a_provider_keep_their_status_and_hint(tmp_path: Path) -> None:
    failures = {
        "long": ContextLengthExceeded("The prompt has 9,001 tokens, the model takes 8,192.", hint="Shorten it."),
        "schema": InvalidConstraint("The schema does not compile: unknown type 'strnig'.", param="response_format"),
    }
    targets = [model(FakeProvider(error), name) for name, error in failures.items()]
    async with site(tmp_path, *targets) as it:
        for name, error in failures.items():
            for stream in (False, True):
                status, answer, _ = await it.chat(model=name, stream=stream)
                assert (status, answer["error"]["code"]) == (400, error.code)
                assert answer["error"]["message"] == str(error)
        trace = await it.last_trace()
    assert (trace.trace.status, trace.trace.error_code) == ("error", "invalid_constraint")


async def test_a_bug_is_a_500_that_tells_nothing(tmp_path: Path) -> None:
    def broken(exchange: object) -> list[str]:
        raise RuntimeError("password=hunter2")

    async with site(tmp_path, model(FakeProvider(script=broken))) as it:
        status, answer, headers = await it.chat()
        trace = await it.last_trace()
    assert status == 500
    assert answer["error"]["message"] == "Something failed inside Penstock. The server's log says what."
    assert trace.trace.id == headers["x-penstock-trace-id"]
    assert "hunter2" not in json.dumps(answer) + str(trace)


async def test_a_body_that_is_too_large(plain: Site) -> None:
    big = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "x" * 3_000_000}]}).encode()

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(big), 50_000):
            yield big[at : at + 50_000]

    status, answer, headers = await plain.post(CHAT, big)
    assert (status, answer["error"]["code"]) == (413, "body_too_large")
    assert answer["error"]["message"] == (
        "The body is larger than 0.1 MB, the most that is taken here. "
        "Send less, or raise max_body_mb under [server] (for files: max_file_mb of the knowledge, or under "
        "[batches])."
    )
    assert headers["connection"] == "close"
    async with plain.session.post(  # without Content-Length it is counted while it comes
        plain.url + CHAT, data=pieces(), headers={"content-type": "application/json"}
    ) as response:
        assert response.status == 413
    status, answer, _ = await plain.post("/api/v1/feedback", big)
    assert (status, answer["error"]["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("framing", [b"content-length: 100\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n9\r\n"])
async def test_a_body_that_does_not_arrive(plain: Site, monkeypatch: pytest.MonkeyPatch, framing: bytes) -> None:
    monkeypatch.setattr(plain.server.app.state.bodies, "seconds", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", plain.server.port)
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        + framing
        + b'{"model":'
    )
    answer = await reader.read()  # to the end: the connection is closed
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"The body did not arrive within 0.05 s." in answer
    writer.close()


async def test_a_client_that_leaves_before_its_body_is_complete(plain: Site) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", plain.server.port)
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        b'content-length: 100\r\n\r\n{"model":'
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    status, _, _ = await plain.chat()
    assert status == 200


async def test_paths_and_methods_that_are_not_served(plain: Site) -> None:
    status, answer, _ = await plain.get("/v1/chat/completion")
    assert status == 404
    assert answer["error"]["message"] == (
        "There is nothing at /v1/chat/completion. GET /api/v1/openapi.json lists what is."
    )
    status, answer, headers = await plain.get(CHAT)
    assert (status, headers["allow"]) == (405, "POST")
    assert answer["error"]["message"] == f"{CHAT} does not take GET. It takes POST."


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(
    ["model", "messages", "stream", "stop", "tools", "n", "response_format", "logprobs", "input"]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(names, json_values, max_size=5) | json_values)
async def test_no_body_makes_the_server_fail(plain: Site, body: Any) -> None:
    for path in (CHAT, "/v1/completions", "/v1/embeddings"):
        status, answer, _ = await plain.post(path, json.dumps(body).encode())
        assert status < 500, answer
        if status != 200:
            assert answer["error"]["message"]
