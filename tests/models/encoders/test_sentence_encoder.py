"""The encoder as its callers see it: the reference's vectors, and a child that may die."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from penstock.errors import ConfigError, EngineStopped, Unavailable
from penstock.models.encoders import supervised
from penstock.models.encoders.messages import Precision
from penstock.models.encoders.sentence import EncoderOptions, SentenceEncoder

HERE = Path(__file__).parent
LONG = "The keeper opened the gate and wrote the hour into the book. " * 30


@pytest.fixture(scope="module")
def reference() -> tuple[list[str], np.ndarray]:
    """The texts, and what sentence-transformers gave for them."""
    scope: dict[str, dict[str, str]] = {}
    exec((HERE / "reference_texts.py").read_text("utf-8"), scope)
    stored = np.load(HERE / "reference_vectors.npz")
    texts = scope["TEXTS"]
    assert list(stored["names"]) == list(texts), "run make_reference_vectors.py again"
    return list(texts.values()), stored["vectors"]


@pytest.fixture
async def encoder(minilm_folder: Path) -> AsyncIterator[SentenceEncoder]:
    encoder = SentenceEncoder(minilm_folder)
    await encoder.start()
    yield encoder
    await encoder.close()


async def in_flight(encoder: SentenceEncoder) -> None:
    """Returns when the encoder has sent work to its child."""
    for _ in range(100):
        await asyncio.sleep(0)
        if encoder.health().running:
            return
    raise AssertionError("nothing was sent")


@pytest.mark.parametrize(
    ("precision", "least"), [("f32", 0.99999), ("bf16", 0.999), ("int8", 0.999), ("int8-bf16", 0.999)]
)
async def test_the_vectors_are_those_of_the_reference(
    minilm_folder: Path, reference: tuple[list[str], np.ndarray], precision: Precision, least: float
) -> None:
    """In eight bits the vectors of texts without a known word are a little off."""
    texts, expected = reference
    encoder = SentenceEncoder(minilm_folder, EncoderOptions(precision=precision))
    await encoder.start()
    try:
        for urgent in (False, True):
            found = await encoder.embed(texts, urgent=urgent)
            assert found.vectors.dtype == np.float32
            np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-5)
            cosines = (found.vectors * expected).sum(axis=1)
            rounded = precision.startswith("int8") and not urgent
            assert cosines.min() >= (0.997 if rounded else least)
            assert cosines.mean() >= least
    finally:
        await encoder.close()


async def test_texts_are_cut_at_256_tokens(
    encoder: SentenceEncoder, reference: tuple[list[str], np.ndarray]
) -> None:
    once = await encoder.embed([LONG])
    more = await encoder.embed([LONG + "and more that nobody reads"])
    assert once.tokens == more.tokens == 256
    np.testing.assert_allclose(once.vectors, more.vectors, atol=1e-6)


async def test_no_texts_give_no_vectors(encoder: SentenceEncoder) -> None:
    found = await encoder.embed([])
    assert (found.vectors.shape, found.tokens) == ((0, 384), 0)


async def test_what_has_no_utf8_is_embedded_all_the_same(encoder: SentenceEncoder) -> None:
    found = await encoder.embed(["half a pair: \ud83d", "half a pair: ?"])
    np.testing.assert_allclose(found.vectors[0], found.vectors[1], atol=1e-6)


async def test_a_call_larger_than_a_frame_keeps_its_order(
    encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervised, "JOB_CHARACTERS", 40)
    texts = [f"gate number {number} is open" for number in range(30)]
    together = await encoder.embed(texts)
    alone = [await encoder.embed([text]) for text in texts]
    assert together.tokens == sum(one.tokens for one in alone)
    assert all((a * b.vectors[0]).sum() > 0.999 for a, b in zip(together.vectors, alone, strict=True))


async def test_a_query_overtakes_bulk_work(encoder: SentenceEncoder) -> None:
    bulk = asyncio.create_task(encoder.embed([LONG] * 60))
    await in_flight(encoder)
    await encoder.embed(["Who opened the gate?"], urgent=True)
    assert not bulk.done()
    assert (await bulk).vectors.shape == (60, 384)


async def test_many_callers_at_once_get_their_own(encoder: SentenceEncoder) -> None:
    texts = [f"caller {number}" for number in range(50)]
    answers = await asyncio.gather(*(encoder.embed([text], urgent=bool(i % 2)) for i, text in enumerate(texts)))
    expected = (await encoder.embed(texts)).vectors
    assert all((one.vectors[0] * row).sum() > 0.999 for one, row in zip(answers, expected, strict=True))


async def test_a_caller_that_leaves_frees_the_child(encoder: SentenceEncoder) -> None:
    bulk = asyncio.create_task(encoder.embed([LONG] * 5000))
    await in_flight(encoder)
    bulk.cancel()
    await asyncio.gather(bulk, return_exceptions=True)
    assert encoder.health().running == 0
    async with asyncio.timeout(30):  # all of it would take minutes
        await encoder.embed(["next"])


async def test_a_crash_fails_what_is_in_flight_and_the_next_call_waits_for_the_restart(
    encoder: SentenceEncoder,
) -> None:
    before = encoder.health()
    assert (before.state, before.restarts) == ("ready", 0)
    bulk = asyncio.create_task(encoder.embed([LONG] * 500))
    await in_flight(encoder)
    encoder.kill()
    with pytest.raises(
        EngineStopped, match=r"all-minilm-l6-v2 stopped \(killed by SIGKILL\)\. Send the request again"
    ):
        await bulk
    assert (await encoder.embed(["still here"])).vectors.shape == (1, 384)
    after = encoder.health()
    assert (after.state, after.restarts) == ("ready", 1)
    assert after.pid != before.pid


async def test_closing_fails_what_is_in_flight(minilm_folder: Path) -> None:
    encoder = SentenceEncoder(minilm_folder)
    await encoder.start()
    bulk = asyncio.create_task(encoder.embed([LONG] * 500))
    await in_flight(encoder)
    await encoder.close()
    with pytest.raises(EngineStopped, match="it was closed"):
        await bulk
    with pytest.raises(Unavailable, match="is not running"):
        await encoder.embed(["late"])


async def test_health_tells_memory_and_precision(encoder: SentenceEncoder) -> None:
    health = encoder.health()
    assert health.model == encoder.name == "all-minilm-l6-v2"
    assert health.memory_bytes is not None and health.memory_bytes > 50_000_000
    assert health.detail.startswith(encoder.fingerprint.split(":")[3])


def test_the_fingerprint_changes_with_what_shapes_the_vectors(minilm_folder: Path, tmp_path: Path) -> None:
    fingerprints = {
        SentenceEncoder(minilm_folder, EncoderOptions(precision=precision)).fingerprint
        for precision in get_args(Precision)
    }
    for number, (name, old, new) in enumerate(
        [("tokenizer.json", b"water", b"watet"), ("sentence_bert_config.json", b"256", b"128")]
    ):
        folder = tmp_path / str(number) / minilm_folder.name
        shutil.copytree(minilm_folder, folder)
        (folder / "penstock.json").unlink()
        path = folder / name
        path.write_bytes(path.read_bytes().replace(old, new))
        fingerprints.add(SentenceEncoder(folder, EncoderOptions(precision="f32")).fingerprint)
    assert len(fingerprints) == 6


def test_the_fingerprint_is_the_same_with_and_without_the_record(minilm_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / minilm_folder.name
    shutil.copytree(minilm_folder, folder)
    (folder / "penstock.json").unlink()
    assert SentenceEncoder(folder).fingerprint == SentenceEncoder(minilm_folder).fingerprint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model_type": "roberta"},
            r"describes a roberta model with gelu; from safetensors only BERT with gelu is run",
        ),
        ({"hidden_size": "wide"}, r"config\.json cannot be read: .*hidden_size"),
    ],
)
def test_a_folder_of_another_kind_is_refused(
    minilm_folder: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    for path in minilm_folder.glob("*.json"):
        shutil.copy(path, tmp_path)
    (tmp_path / "model.safetensors").touch()
    config = json.loads((tmp_path / "config.json").read_bytes())
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(ConfigError, match=message):
        SentenceEncoder(tmp_path)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no model: none of openvino_model\.xml, "):
        SentenceEncoder(tmp_path)


async def test_damaged_weights_are_told_when_the_child_starts(minilm_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(minilm_folder, folder)
    (folder / "model.safetensors").write_bytes(b"\x10")
    encoder = SentenceEncoder(folder)
    with pytest.raises(Unavailable, match="is not a safetensors file"):
        await encoder.start()
    await encoder.close()
