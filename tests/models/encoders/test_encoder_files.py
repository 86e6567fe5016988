"""What an encoder's own files say: pooling, prefixes, lengths, and what cannot be run."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from support.tiny_models import TinyBert, unit, write_encoder, write_onnx
from tokenizers import Tokenizer

from penstock.errors import ConfigError, Unavailable
from penstock.models.encoders.files import ModelFiles
from penstock.models.encoders.sentence import EncoderOptions, SentenceEncoder

PLAIN = EncoderOptions(precision="f32", threads=1)


@asynccontextmanager
async def running(folder: Path, options: EncoderOptions = PLAIN) -> AsyncIterator[SentenceEncoder]:
    encoder = SentenceEncoder(folder, options)
    try:
        await encoder.start()
        yield encoder
    finally:
        await encoder.close()


def ids_of(folder: Path, text: str) -> list[int]:
    return list(Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("mean_tokens", lambda rows: rows.mean(axis=0)),
        ("cls_token", lambda rows: rows[0]),
        ("lasttoken", lambda rows: rows[-1]),
    ],
)
async def test_token_vectors_are_pooled_as_the_files_say(
    tmp_path: Path, pooling: str, expected: Callable[[np.ndarray], np.ndarray]
) -> None:
    table = write_encoder(tmp_path, pooling)
    texts = ["water", "the gate is open", "how is the turbine"]
    async with running(tmp_path) as encoder:
        vectors = (await encoder.embed(texts)).vectors
    for text, vector in zip(texts, vectors, strict=True):
        np.testing.assert_allclose(vector, unit(expected(table[ids_of(tmp_path, text)])), atol=1e-5)


async def test_questions_and_passages_get_what_stands_before_them(tmp_path: Path) -> None:
    table = write_encoder(tmp_path, prefixes=True)

    def expected(text: str) -> np.ndarray:
        return unit(table[ids_of(tmp_path, text)].mean(axis=0))

    async with running(tmp_path) as encoder:
        passage = (await encoder.embed(["gate"])).vectors[0]
        query = (await encoder.embed(["gate"], kind="query", urgent=True)).vectors[0]
        files_say = encoder.fingerprint
    np.testing.assert_allclose(passage, expected("the gate"), atol=1e-5)
    np.testing.assert_allclose(query, expected("query: gate"), atol=1e-5)
    options = EncoderOptions(precision="f32", threads=1, query_prefix="how ", passage_prefix="")
    async with running(tmp_path, options) as encoder:
        assert encoder.fingerprint != files_say
        query = (await encoder.embed(["gate"], kind="query")).vectors[0]
        plain = (await encoder.embed(["gate"])).vectors[0]
    np.testing.assert_allclose(query, expected("how gate"), atol=1e-5)
    np.testing.assert_allclose(plain, expected("gate"), atol=1e-5)


async def test_texts_are_cut_at_the_length_of_the_files_or_the_one_asked_for(tmp_path: Path) -> None:
    write_encoder(tmp_path)
    async with running(tmp_path) as encoder:
        assert (await encoder.embed(["water " * 50])).tokens == 16
    async with running(tmp_path, EncoderOptions(threads=1, max_tokens=9)) as encoder:
        assert (await encoder.embed(["water " * 50])).tokens == 9


async def test_a_graph_that_pools_by_itself_is_taken_as_it_is(tmp_path: Path) -> None:
    write_encoder(tmp_path)
    (tmp_path / "modules.json").unlink()
    (tmp_path / "sentence_bert_config.json").unlink()
    (tmp_path / "1_Pooling" / "config.json").unlink()
    encoder = SentenceEncoder(tmp_path, EncoderOptions(name="bare", threads=1))
    with pytest.raises(Unavailable, match=r'no file beside it says how they become one\. Add pooling = "mean"'):
        await encoder.start()
    await encoder.close()
    async with running(tmp_path, EncoderOptions(threads=1, pooling="cls")) as encoder:
        assert encoder.dimensions == 8


async def test_a_module_behind_the_pooling_is_not_left_out_silently(tmp_path: Path) -> None:
    write_encoder(tmp_path)
    modules = json.loads((tmp_path / "modules.json").read_text())
    modules.insert(2, {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"})
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    encoder = SentenceEncoder(tmp_path, PLAIN)
    with pytest.raises(Unavailable, match="runs Dense behind its pooling, which is not done here"):
        await encoder.start()
    await encoder.close()


async def test_a_classifier_is_no_encoder(tmp_path: Path) -> None:
    write_encoder(tmp_path)
    write_onnx(tmp_path, "logits", 8, types=True)
    encoder = SentenceEncoder(tmp_path, PLAIN)
    with pytest.raises(Unavailable, match=r"gives logits \[\?,8\]; `sentence_embedding` or token vectors of three"):
        await encoder.start()
    await encoder.close()


def test_the_fingerprint_is_of_the_files(tmp_path: Path) -> None:
    names = []
    for number, pooling in enumerate(("mean_tokens", "cls_token", "cls_token")):
        folder = tmp_path / "model"
        write_encoder(folder, pooling)
        if number == 2:
            write_onnx(folder, "last_hidden_state", 8, seed=8)
        names.append(SentenceEncoder(folder, PLAIN).fingerprint)
    assert len(set(names)) == 3


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("1_Pooling/config.json", '{"pooling_mode_max_tokens": true}', "wants pooling_mode_max_tokens; known are"),
        ("1_Pooling/config.json", "{}", "wants no pooling; known are"),
        ("modules.json", "[", r"modules\.json cannot be read"),
        (
            "sentence_bert_config.json",
            '{"max_seq_length": "all"}',
            r"sentence_bert_config\.json cannot be read: .*max_",
        ),
    ],
)
def test_a_file_that_cannot_be_followed_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    write_encoder(tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        SentenceEncoder(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (EncoderOptions(file="model.bin"), r"'model\.bin' is not a model that is run here"),
        (EncoderOptions(file="other.onnx"), r"has no other\.onnx"),
    ],
)
def test_an_option_that_fits_no_file(tmp_path: Path, options: EncoderOptions, message: str) -> None:
    write_encoder(tmp_path)
    (tmp_path / "model.bin").touch()
    with pytest.raises(ConfigError, match=message):
        SentenceEncoder(tmp_path, options)


def test_more_tokens_than_there_are_positions(tmp_path: Path) -> None:
    TinyBert().write(tmp_path)
    with pytest.raises(ConfigError, match=r"max_tokens = 25 is more than .* can read: 24"):
        SentenceEncoder(tmp_path, EncoderOptions(max_tokens=25))


def test_a_tokenizer_that_is_missing(tmp_path: Path) -> None:
    write_encoder(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match=r"is no whole model: .*tokenizer\.json"):
        SentenceEncoder(tmp_path)


def test_positions_behind_the_padding_are_not_counted(tmp_path: Path) -> None:
    write_encoder(tmp_path)
    (tmp_path / "sentence_bert_config.json").unlink()
    config = {"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = ModelFiles.read(tmp_path)
    assert (found.max_tokens, found.pad_id) == (512, 1)
