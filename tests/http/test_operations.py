"""Moderation, images, audio and reranking through the whole server, by the official client and byte for byte."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import aiohttp
import openai
import pytest
from msgspec.structs import replace
from support.gateway_site import Site, site
from support.operations_upstream import Upstream, dumped, operations_upstream

from penstock.exchange import Operation
from penstock.gateway.registry import ROUTES, Target
from penstock.models.providers.embedding import EmbeddingProvider
from penstock.models.providers.remote import RemoteProvider
from penstock.models.providers.vendors import remote
from penstock.testing import FakeEmbedder

OPENAI = frozenset({"openai"})
PASSED: frozenset[Operation] = frozenset(get_args(Operation)) - {"chat", "complete", "embed"}
SOUND = bytes(range(256)) * 40
PNG = b"\x89PNG\r\n\x1a\n\r\n--not-a-boundary\r\n" + bytes(range(256))


def target(upstream: Upstream, operations: frozenset[Operation] = PASSED) -> Target:
    provider = RemoteProvider(remote("corp/upstream-model", upstream.base_url))
    return Target(
        name="big",
        kind="model",
        provider=provider,
        operations=operations,
        features=None,
        forwards=frozenset({"openai"}),
    )


@asynccontextmanager
async def gateway(folder: Path, **server: Any) -> AsyncIterator[tuple[Site, Upstream]]:
    async with operations_upstream() as upstream, site(folder, target(upstream), **server) as it:
        yield it, upstream


def form(*fields: tuple[str, str | None, bytes], boundary: str = "xYz") -> tuple[bytes, str]:
    """The body of a form and its media type. A field is its name, its file's name and its value."""
    parts = b""
    for name, filename, value in fields:
        file = f'; filename="{filename}"\r\nContent-Type: application/octet-stream' if filename else ""
        parts += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()
        parts += value + b"\r\n"
    return parts + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


async def post(it: Site, path: str, body: bytes, media_type: str) -> tuple[int, bytes, Any]:
    async with it.session.post(it.url + path, data=body, headers={"content-type": media_type}) as response:
        return response.status, await response.read(), response.headers


MODERATED = {
    "id": "modr-1",
    "model": "omni-moderation-latest",
    "results": [{"flagged": True, "categories": {"violence": True}, "category_scores": {"violence": 0.9}}],
}
IMAGES = {
    "created": 1,
    "data": [{"b64_json": "aGk=", "revised_prompt": "a gate"}],
    "usage": {
        "input_tokens": 12,
        "output_tokens": 400,
        "total_tokens": 412,
        "input_tokens_details": {"image_tokens": 2},
    },
}
RANKED = {
    "id": "r-1",
    "results": [{"index": 1, "relevance_score": 0.98}, {"index": 0, "relevance_score": 0.02}],
    "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
}


async def test_json_goes_out_and_comes_back_as_it_was(tmp_path: Path) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "/v1/moderations": {"input": ["a", "b"], "not_known_here": {"x": 1}},
        "/v1/images/generations": {"prompt": "a gate", "quality": "high", "size": "1024x1024"},
        "/v1/rerank": {
            "query": "gate",
            "documents": ["wall", {"text": "gate"}],
            "top_n": 2,
            "max_tokens_per_doc": 9,
        },
    }
    answers = {"/v1/moderations": MODERATED, "/v1/images/generations": IMAGES, "/v1/rerank": RANKED}
    async with gateway(tmp_path) as (it, upstream):
        for path, fields in bodies.items():
            upstream.replies(dumped(answers[path] | {"from_tomorrow": [1.0, None]}))
            status, body, headers = await post(it, path, dumped({"model": "big", **fields}), "application/json")
            assert (status, body) == (200, dumped(answers[path] | {"from_tomorrow": [1.0, None]}))
            assert headers["content-type"] == "application/json"
            sent = upstream.sent[-1]
            assert (sent.path, json.loads(sent.body)) == (path, {"model": "upstream-model", **fields})


@pytest.mark.drives("POST /v1/moderations", "POST /v1/images/generations")
async def test_the_official_client_moderates_and_draws(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (it, upstream):
        client = it.client()
        upstream.replies(dumped(MODERATED))
        moderated = await client.moderations.create(model="big", input="I will break the gate")
        assert moderated.results[0].flagged
        upstream.replies(dumped(IMAGES))
        drawn = await client.images.generate(model="big", prompt="a gate", n=1)
        assert drawn.data is not None
        assert drawn.data[0].revised_prompt == "a gate"
        trace = await it.last_trace()
        assert (trace.trace.operation, trace.trace.input_tokens, trace.trace.output_tokens) == (
            "image",
            12,
            400,
        )


@pytest.mark.drives("POST /v1/images/edits", "POST /v1/images/variations")
async def test_the_official_client_edits_pictures(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (it, upstream):
        upstream.replies(dumped(IMAGES))
        client = it.client()
        await client.images.edit(
            model="big", image=[("a.png", PNG), ("b.png", PNG)], prompt="close it", stream=False
        )
        sent = upstream.sent[-1]
        assert sent.path == "/v1/images/edits"
        assert sent.body.count(PNG) == 2
        assert b'name="model"\r\n\r\nupstream-model\r\n' in sent.body
        with pytest.warns(DeprecationWarning):
            await client.images.create_variation(model="big", image=("a.png", PNG))
        assert upstream.sent[-1].path == "/v1/images/variations"


async def test_pictures_in_a_stream(tmp_path: Path) -> None:
    events = [
        b"event: image_generation.partial_image\n"
        b'data: {"type":"image_generation.partial_image","b64_json":"aGk="}\n\n',
        b'event: image_generation.completed\ndata: {"type":"image_generation.completed","b64_json":"aGk=",'
        b'"usage":{"input_tokens":5,"output_tokens":7,"total_tokens":12}}\n\n',
    ]
    whole = b"".join(events)
    async with gateway(tmp_path) as (it, upstream):
        upstream.streams(whole[:50], whole[50:130], whole[130:], content_type="text/event-stream; charset=utf-8")
        body = dumped({"model": "big", "prompt": "a gate", "stream": True})
        status, got, headers = await post(it, "/v1/images/generations", body, "application/json")
        assert (status, got, headers["content-type"]) == (200, whole, "text/event-stream; charset=utf-8")
        stream = await it.client().images.generate(model="big", prompt="a gate", stream=True)
        assert [event.type async for event in stream] == [
            "image_generation.partial_image",
            "image_generation.completed",
        ]
        assert (await it.last_trace()).trace.output_tokens == 7
        upstream.streams(events[0], events[1][:40], content_type="text/event-stream", cut=True)
        _, got, _ = await post(it, "/v1/images/generations", body, "application/json")
        assert got.startswith(events[0] + b'data: {"error":{"message":"corp/upstream-model closed the connection')


@pytest.mark.drives("POST /v1/audio/speech")
async def test_speech_is_streamed_as_it_comes(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (it, upstream):
        upstream.streams(SOUND[:100], SOUND[100:], content_type="audio/pcm; rate=24000")
        create = it.client().audio.speech.with_streaming_response.create
        async with create(
            model="big", voice="alloy", input="The gate is closed.", response_format="pcm"
        ) as response:
            assert response.headers["content-type"] == "audio/pcm; rate=24000"
            assert b"".join([piece async for piece in response.iter_bytes()]) == SOUND
        assert json.loads(upstream.sent[-1].body) == {
            "input": "The gate is closed.",
            "model": "upstream-model",
            "voice": "alloy",
            "response_format": "pcm",
        }
        assert (await it.last_trace()).trace.operation == "speech"


async def test_a_sound_that_breaks_is_not_passed_off_as_whole(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (it, upstream):
        upstream.streams(SOUND, content_type="audio/mpeg", cut=True)
        body = dumped({"model": "big", "voice": "alloy", "input": "Hi"})
        with pytest.raises(aiohttp.ClientPayloadError):
            await post(it, "/v1/audio/speech", body, "application/json")
        assert (await it.last_trace()).trace.status == "error"


@pytest.mark.parametrize("operation", ["transcriptions", "translations"])
async def test_a_form_goes_out_as_it_came_but_for_the_model(tmp_path: Path, operation: str) -> None:
    fields = [
        ("file", "s\u00fcd.wav", SOUND + b"\r\n--xY\r\n"),
        ("model", None, b"big"),
        ("timestamp_granularities[]", None, b"word"),
        ("timestamp_granularities[]", None, b"segment"),
        ("empty", None, b""),
    ]
    sent, media_type = form(*fields)
    expected, _ = form(*fields[:1], ("model", None, b"upstream-model"), *fields[2:])
    async with gateway(tmp_path) as (it, upstream):
        upstream.replies(dumped({"text": "Close the gate.", "usage": {"type": "duration", "seconds": 3}}))
        status, body, _ = await post(it, f"/v1/audio/{operation}", sent, media_type)
        assert (status, body) == (
            200,
            dumped({"text": "Close the gate.", "usage": {"type": "duration", "seconds": 3}}),
        )
        came = upstream.sent[-1]
        assert (came.path, came.headers["content-type"], came.body) == (
            f"/v1/audio/{operation}",
            media_type,
            expected,
        )
        assert (await it.last_trace()).trace.answer == "Close the gate."


@pytest.mark.drives("POST /v1/audio/transcriptions", "POST /v1/audio/translations")
async def test_the_official_client_transcribes(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (it, upstream):
        transcriptions = it.client().audio.transcriptions
        upstream.replies(b"1\n00:00:00 --> 00:00:01\nClose it.\n", "text/plain; charset=utf-8")
        text = await transcriptions.create(model="big", file=("a.wav", SOUND), response_format="srt")
        assert text == "1\n00:00:00 --> 00:00:01\nClose it.\n"
        upstream.streams(
            b'data: {"type":"transcript.text.delta","delta":"Close "}\n\n',
            b'data: {"type":"transcript.text.done","text":"Close it.",',
            b'"usage":{"type":"tokens","input_tokens":20,"output_tokens":3,"total_tokens":23}}\n\n',
            content_type="text/event-stream",
        )
        stream = await transcriptions.create(model="big", file=("a.wav", SOUND), stream=True)
        assert [event.type async for event in stream] == ["transcript.text.delta", "transcript.text.done"]
        trace = await it.last_trace()
        assert (trace.trace.answer, trace.trace.input_tokens) == ("Close it.", 20)
        upstream.replies(dumped({"text": "Close it."}))
        with pytest.warns(DeprecationWarning):
            translated = await it.client().audio.translations.create(model="big", file=("a.wav", SOUND))
        assert translated.text == "Close it."


async def test_an_error_of_the_provider_is_its_own(tmp_path: Path) -> None:
    error = dumped({"error": {"message": "Audio too short", "type": "invalid_request_error", "code": "short"}})
    async with gateway(tmp_path) as (it, upstream):
        upstream.replies(error, status=400)
        body, media_type = form(("model", None, b"big"), ("file", "a.wav", b"x"))
        assert (await post(it, "/v1/audio/transcriptions", body, media_type))[:2] == (400, error)
        with pytest.raises(openai.BadRequestError, match="Audio too short"):
            await it.client().audio.speech.create(model="big", voice="alloy", input="Hi")
        upstream.replies(b"<html>", "text/html")
        _, got, _ = await post(
            it, "/v1/rerank", dumped({"model": "big", "query": "a", "documents": ["b"]}), "application/json"
        )
        assert json.loads(got)["error"]["message"] == "corp/upstream-model sent what is not an answer: <html>"


async def test_cohere_reranks_at_a_path_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COHERE_API_KEY", "key")
    async with operations_upstream() as upstream:
        settings = remote("cohere/rerank-v3.5", upstream.base_url.removesuffix("/v1"))
        assert settings.profile.operations == {"rerank"}
        cohere = replace(target(upstream), provider=RemoteProvider(settings))
        async with site(tmp_path, cohere) as it:
            upstream.replies(dumped(RANKED))
            fields = {"model": "big", "query": "gate", "documents": ["wall", "gate"]}
            status, answer, _ = await it.post("/v1/rerank", fields)
            assert (status, answer) == (200, RANKED)
            sent = upstream.sent[-1]
            assert (sent.path, sent.headers["authorization"]) == ("/v2/rerank", "Bearer key")
            assert json.loads(sent.body) == fields | {"model": "rerank-v3.5"}


async def test_reranking_on_this_machine(tmp_path: Path) -> None:
    provider = EmbeddingProvider(FakeEmbedder("vectors", 64))
    operations: frozenset[Operation] = frozenset({"embed", "rerank"})
    local = Target(name="vectors", kind="embedder", provider=provider, operations=operations)
    documents = ["a wall of stone", {"text": "close the gate"}, "the gate"]
    body = {"model": "vectors", "query": "close the gate", "documents": documents}
    async with site(tmp_path, local) as it:
        status, answer, _ = await it.post("/v1/rerank", body | {"top_n": 2, "return_documents": True})
        assert status == 200
        assert [(each["index"], each["document"]["text"]) for each in answer["results"]] == [
            (1, "close the gate"),
            (2, "the gate"),
        ]
        assert answer["results"][0]["relevance_score"] == pytest.approx(1, abs=1e-5)
        assert answer["usage"]["total_tokens"] == 12
        _, answer, _ = await it.post("/v1/rerank", body)
        assert sorted(each["index"] for each in answer["results"]) == [0, 1, 2]
        assert set(answer["results"][0]) == {"index", "relevance_score"}
        _, answer, _ = await it.post("/v1/rerank", body | {"documents": ["a", ""]})
        assert answer["error"]["message"] == (
            "vectors ranks texts, and 'documents[1]' has none. Send a text that is not empty."
        )
        _, answer, _ = await it.post("/v1/rerank", body | {"rank_fields": ["title"]})
        assert answer["error"]["message"].startswith("'vectors' does not support rank_fields")


def bad_forms() -> Iterator[tuple[bytes, str, str]]:
    whole, declared = form(("model", None, b"big"), ("file", "a.wav", b"x"))
    unreadable = "The form cannot be read: "
    yield (
        whole,
        "multipart/form-data",
        "The body is declared as 'multipart/form-data', which is no form with a boundary.",
    )
    yield b"", declared, unreadable + "it does not begin with its boundary."
    yield whole[:-12], declared, unreadable + "it ends too early."
    yield (
        whole.replace(b"\r\n\r\nbig", b"big"),
        declared,
        unreadable + "a field's header is not one.",
    )
    name = b"Content-Disposition"
    twice = whole.replace(name, name + b": form-data; name=x\r\n" + name, 1)
    yield twice, declared, unreadable + "a field has no Content-Disposition, or two."
    yield whole.replace(b'; name="model"', b""), declared, unreadable + "a field has no name."
    yield (
        whole.replace(b'name="model"', b'name="model"; name="x"'),
        declared,
        unreadable + "a field's Content-Disposition is not one.",
    )
    twice, _ = form(("model", None, b"big"), ("file", "a.wav", b"x"), ("model", None, b"other"))
    yield twice, declared, "'model' is given twice. Send it once."
    yield form(("model", None, b"big"))[0], declared, "'file' is missing. Add it to the request."
    yield form(("file", "a.wav", b"x"))[0], declared, "'model' is missing. Name one of big."
    yield form(("model", None, b"\xff"), ("file", "a", b"x"))[0], declared, "'model' is not UTF-8."
    odd, _ = form(("model", None, b"big"), ("file", "a.wav", b"x"), ("stream", None, b"maybe"))
    yield odd, declared, "'stream' must be true or false"
    many, _ = form(*[(f"f{number}", None, b"") for number in range(300)])
    yield many, declared, unreadable + "it has more than 200 fields."


async def test_bad_forms_by_message(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (it, upstream):
        for body, declared, message in bad_forms():
            status, got, _ = await post(it, "/v1/audio/transcriptions", body, declared)
            assert status == 400, got
            assert json.loads(got)["error"]["message"].startswith(message)
        assert upstream.sent == []


BAD = [
    ("/v1/moderations", {}, "'input' is missing. Add it to the request."),
    ("/v1/moderations", {"input": 5}, "'input' must be a string or an array, not an integer."),
    ("/v1/images/generations", {"prompt": "x", "n": 0}, "'n' must be an integer >= 1."),
    ("/v1/audio/speech", {"input": "Hi"}, "'voice' is missing. Add it to the request."),
    ("/v1/rerank", {"query": "a"}, "'documents' is missing. Add it to the request."),
    ("/v1/rerank", {"query": "a", "documents": []}, "'documents' is empty. Send at least one text."),
    ("/v1/rerank", {"query": "a", "documents": ["b"], "top_n": 0}, "'top_n' must be an integer >= 1."),
    ("/v1/moderations", {"input": "a", "model": ""}, "'model' is missing. Name one of big."),
]


async def test_bad_bodies_by_message(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (it, upstream):
        for path, fields, message in BAD:
            status, answer, _ = await it.post(path, {"model": "big", **fields})
            assert (status, answer["error"]["message"]) == (400, message)
        assert upstream.sent == []


async def test_a_target_without_the_operation_is_named(tmp_path: Path) -> None:
    async with operations_upstream() as upstream, site(tmp_path, target(upstream, frozenset({"speech"}))) as it:
        for operation in sorted(PASSED - {"speech"}):
            path = ROUTES[operation]
            kind = "application/json"
            body = dumped({"model": "big", "input": "a", "prompt": "a", "query": "a", "documents": ["a"]})
            if operation in ("edit_image", "vary_image", "transcribe", "translate"):
                both = (("model", None, b"big"), ("prompt", None, b"a"), ("file", "a", b"a"), ("image", "a", b"a"))
                body, kind = form(*both)
            status, got, _ = await post(it, path, body, kind)
            assert status == 400
            assert json.loads(got)["error"]["message"] == (
                f"'big' does not answer {path}. It answers /v1/audio/speech. No model that could is configured."
            )
        assert upstream.sent == []


async def test_an_upload_has_the_limit_of_bodies(tmp_path: Path) -> None:
    async with gateway(tmp_path, max_body_mb=1 / 64) as (it, upstream):
        body, declared = form(("model", None, b"big"), ("file", "a.wav", SOUND * 2))
        status, got, _ = await post(it, "/v1/audio/transcriptions", body, declared)
        assert status == 413
        assert "larger than 0.01562 MB" in json.loads(got)["error"]["message"]
        assert upstream.sent == []


async def test_the_openapi_file_says_what_forms_and_sounds_are(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        _, document, _ = await it.get("/api/v1/openapi.json")
    content = document["paths"]["/v1/audio/transcriptions"]["post"]["requestBody"]["content"]
    assert content == {"multipart/form-data": {"schema": {"$ref": "#/components/schemas/TranscriptionForm"}}}
    schema = document["components"]["schemas"]["TranscriptionForm"]
    assert schema["properties"]["file"] == {"type": "string", "contentMediaType": "application/octet-stream"}
    assert schema["required"] == ["file"]
    answer = document["paths"]["/v1/audio/speech"]["post"]["responses"]["200"]["content"]
    assert answer == {"audio/*": {"schema": {"type": "string", "format": "binary"}}, "text/event-stream": {}}
