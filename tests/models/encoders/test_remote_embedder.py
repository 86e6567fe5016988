"""A remote embedder beside its contract: how requests are put together, tried again, and what is refused."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from support.embedding_apis import cohere, directions, openai, refused, reply, voyage

from penstock.config.secret import Secret
from penstock.errors import Unavailable, UpstreamFailed
from penstock.models.encoders import remote as remote_module
from penstock.models.encoders.remote import RemoteEmbedder, RemoteOptions
from penstock.models.providers.vendors import remote
from penstock.testing import Pause, ProviderServer, Received, Reply

KEY = Secret("sk-not-a-real-key")


@asynccontextmanager
async def embedder(
    server: ProviderServer, options: RemoteOptions | None = None, use: str = "openai/text-embedding-3-small"
) -> AsyncIterator[RemoteEmbedder]:
    base = server.url if use.startswith("cohere") else server.base_url
    made = RemoteEmbedder(remote(use, base, KEY), options)
    try:
        await made.start()
        server.received.clear()
        yield made
    finally:
        await made.close()


def sizes(server: ProviderServer) -> list[int]:
    return [len(received.json.get("input") or received.json["texts"]) for received in server.received]


async def test_what_is_asked_at_the_same_moment_travels_together() -> None:
    async with ProviderServer(openai) as server, embedder(server) as made:
        answers = await asyncio.gather(*(made.embed([f"question {at}"], urgent=True) for at in range(50)))
        assert sizes(server) == [50]
        for at, found in enumerate(answers):
            expected = directions(f"question {at}")
            np.testing.assert_allclose(found.vectors[0], expected / np.linalg.norm(expected), atol=1e-6)


async def test_requests_stay_within_what_the_vendor_takes() -> None:
    async with ProviderServer(cohere) as server, embedder(server, use="cohere/embed-v4.0") as made:
        assert (await made.embed([f"text {at}" for at in range(250)])).vectors.shape == (250, 16)
        assert sizes(server) == [96, 96, 58]
        assert {received.json["input_type"] for received in server.received} == {"search_document"}


async def test_requests_stay_within_what_the_settings_say() -> None:
    options = RemoteOptions(batch_texts=4, batch_tokens=100)
    async with ProviderServer(openai) as server, embedder(server, options) as made:
        await made.embed(["a"] * 9)
        await made.embed(["water " * 40, "water " * 40, "gate"])
        assert sizes(server) == [4, 4, 1, 1, 2]


async def test_questions_and_passages_never_share_a_request_with_the_wrong_word() -> None:
    async with ProviderServer(voyage) as server, embedder(server, use="voyage/voyage-3.5") as made:
        await asyncio.gather(made.embed(["a"]), made.embed(["b"], kind="query", urgent=True), made.embed(["c"]))
        found = {received.json["input_type"]: received.json["input"] for received in server.received}
        assert found == {"query": ["b"], "document": ["a", "c"]}


async def test_urgent_work_goes_ahead_of_bulk_work() -> None:
    held = asyncio.Event()

    def behave(received: Received) -> Reply:
        answer = openai(received)
        bulk = any(text.startswith("bulk") for text in received.json["input"])
        return Reply(body=answer.body, headers=answer.headers, after=held) if bulk else answer

    options = RemoteOptions(batch_texts=2, in_flight=2)
    async with ProviderServer(behave) as server, embedder(server, options) as made:
        bulk = asyncio.create_task(made.embed([f"bulk {at}" for at in range(20)]))
        await server.until(lambda it: len(it.received) == 2)
        assert (await made.embed(["question"], urgent=True, kind="query")).vectors.shape == (1, 16)
        assert sizes(server) == [2, 2, 1]
        assert made.health().running == 20
        held.set()
        assert (await bulk).vectors.shape == (20, 16)


async def test_a_vendor_that_is_busy_is_asked_again_when_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ProviderServer(openai) as server, embedder(server) as made:
        monkeypatch.setattr(remote_module, "BACKOFF", (60.0, 60.0))
        server.answers.append(refused("slow down", 429))
        server.answers[0] = Reply(body=server.answers[0].body, status=429, headers={"retry-after": "0.05"})
        assert (await made.embed(["gate"], urgent=True)).vectors.shape == (1, 16)
        assert sizes(server) == [1, 1]


async def test_a_vendor_that_is_down_for_a_moment_costs_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_module, "BACKOFF", (0.01, 0.02))
    async with ProviderServer(openai) as server, embedder(server) as made:
        server.answers += [refused("oops", 500), refused("busy", 503), reply({"object": "list"})]
        assert (await made.embed(["gate"])).vectors.shape == (1, 16)
        assert sizes(server) == [1, 1, 1, 1]


async def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_module, "URGENT_SECONDS", 0.5)
    async with ProviderServer(openai) as server, embedder(server) as made:
        server.answers.append(Reply(body=b"{}", status=429, headers={"retry-after": "70"}))
        with pytest.raises(UpstreamFailed, match="429"):
            await made.embed(["gate"], urgent=True)
        assert sizes(server) == [1]


async def test_one_text_that_is_refused_fails_its_own_call_alone() -> None:
    def behave(received: Received) -> Reply:
        return refused("no such words here") if "bad" in received.json["input"] else openai(received)

    async with ProviderServer(behave) as server, embedder(server) as made:
        answers = await asyncio.gather(
            made.embed(["good"]), made.embed(["fine", "bad"]), made.embed(["well"]), return_exceptions=True
        )
        assert isinstance(answers[1], UpstreamFailed)
        assert "no such words here" in answers[1].message
        assert all(not isinstance(answers[at], BaseException) for at in (0, 2))


async def test_a_text_over_the_models_length_is_cut_and_its_neighbours_are_whole() -> None:
    async with ProviderServer(openai) as server, embedder(server) as made:
        long = "water " * 12_000
        found = await made.embed(["gate", long, "open"])
        expected = [directions("gate"), directions(long[: len(long) // 4]), directions("open")]
        np.testing.assert_allclose(found.vectors, [row / np.linalg.norm(row) for row in expected], atol=1e-6)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "sent 0 vectors for 1 texts"),
        ([[0.5] * 16] * 2, "sent 2 vectors for 1 texts"),
        ([[0.5] * 12], "sent a vector of 12 dimensions instead of 16"),
        ([[float("nan")] + [0.5] * 15], "numbers that are not finite"),
        ([[0.0] * 16], "sent a vector that is all zeros"),
    ],
)
async def test_vectors_that_cannot_be_right_are_named(data: list[list[float]], message: str) -> None:
    async with ProviderServer(openai) as server, embedder(server) as made:
        encoded = [base64.b64encode(np.array(row, "<f4").tobytes()).decode() for row in data]
        server.answers.append(reply({"data": [{"embedding": row} for row in encoded]}))
        with pytest.raises(UpstreamFailed, match=message):
            await made.embed(["gate"])
        assert len(server.received) == 1


async def test_dimensions_are_asked_for_in_the_vendors_words_and_checked() -> None:
    async with ProviderServer(voyage) as server:
        options = RemoteOptions(dimensions=16)
        async with embedder(server, options, "voyage/voyage-3.5") as made:
            assert made.dimensions == 16
            assert server.received == []  # nothing had to be asked
            await made.embed(["gate"])
            assert server.received[0].json["output_dimension"] == 16
        async with embedder(server, RemoteOptions(dimensions=8), "voyage/voyage-3.5") as made:
            with pytest.raises(UpstreamFailed, match=r"of 16 dimensions instead of 8\. Correct dimensions"):
                await made.embed(["gate"])


async def test_the_fingerprint_changes_with_what_shapes_the_vectors() -> None:
    def fingerprint(use: str = "own/bge", url: str = "http://127.0.0.1:1/v1", **options: object) -> str:
        return RemoteEmbedder(remote(use, url, KEY), RemoteOptions(**options)).fingerprint  # type: ignore[arg-type]

    same = fingerprint()
    assert same == fingerprint(batch_texts=7, name="other", in_flight=9)
    others = {
        fingerprint("own/bge-large"),
        fingerprint(url="http://127.0.0.1:2/v1"),
        fingerprint(dimensions=64),
        fingerprint(query_prefix="query: "),
        fingerprint(passage_prefix="query: "),
    }
    assert len(others | {same}) == 6


async def test_the_key_is_in_no_error() -> None:
    async with ProviderServer(openai) as server, embedder(server) as made:
        server.answers.append(refused(f"wrong key {KEY.reveal()}", 401))
        with pytest.raises(UpstreamFailed, match="refused the key") as caught:
            await made.embed(["gate"])
        assert KEY.reveal() not in str(caught.value)


async def test_a_request_that_nobody_waits_for_is_given_up() -> None:
    async with ProviderServer(openai) as server, embedder(server) as made:
        server.answers.append(Reply(body=b"{}", after=Pause()))
        leaving = asyncio.create_task(made.embed(["gate"]))
        await server.until(lambda it: len(it.received) == 1)
        leaving.cancel()
        await server.until(lambda it: it.left == 1)
        assert made.health().running == 0


async def test_a_vendor_that_is_not_there_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_module, "URGENT_SECONDS", 0.3)
    made = RemoteEmbedder(remote("ollama/nomic-embed-text", "http://127.0.0.1:9/v1"))
    with pytest.raises(
        UpstreamFailed, match=r"cannot connect to http://127\.0\.0\.1:9/v1.*Is Ollama running there"
    ):
        await made.start()
    with pytest.raises(Unavailable, match="has not answered yet, so that the length of its vectors is not known"):
        _ = made.dimensions
    await made.close()
