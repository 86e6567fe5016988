"""A reader on a node of a cluster cuts by the tokenizer that it is told, or does not read at all."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from penstock.errors import ConfigError, ModelNotFound
from penstock.knowledge.chunking import ChunkOptions
from penstock.knowledge.chunking.vocabulary import digest_of
from penstock.knowledge.executors.ray import ReaderActor
from penstock.knowledge.loaders.messages import ReadRequest, ReadResult
from penstock.knowledge.values import KnowledgeOptions

TEXT = "\n\n".join(f"Zzyzx qwrtp bcdfgh {number * 977} xkcdvw plmokn mnbvcx lkjhgf." for number in range(40))
"""Of what is in no vocabulary: an estimate counts far fewer tokens."""


async def read(chunking: ChunkOptions) -> ReadResult:
    actor = ReaderActor(KnowledgeOptions())
    request = ReadRequest(path=b"/on/another/machine.md", kind="markdown", chunking=chunking)
    try:
        frame = await actor.read(msgspec.msgpack.encode(request), TEXT.encode())
    finally:
        await actor.stop()
    return msgspec.msgpack.decode(frame, type=ReadResult)


async def test_the_tokenizer_of_the_node_cuts_as_the_one_that_is_meant(minilm_folder: Path) -> None:
    """The driver's file lies elsewhere: its folder's name is that of the model, which is pulled here."""
    file = minilm_folder / "tokenizer.json"
    meant = ChunkOptions(tokens=40, vocabulary=str(file), vocabulary_digest=digest_of(file))
    elsewhere = msgspec.structs.replace(meant, vocabulary=f"/nowhere/models/{minilm_folder.name}/tokenizer.json")
    here, there = await read(meant), await read(elsewhere)
    assert (here.status, there.status) == ("ok", "ok")
    assert here.passages == there.passages and len(here.passages) > 5
    estimated = await read(ChunkOptions(tokens=40))
    assert estimated.passages != here.passages


async def test_a_node_that_cannot_have_the_tokenizer_says_so_and_reads_nothing() -> None:
    options = ChunkOptions(vocabulary="/nowhere/models/my-own-encoder/tokenizer.json", vocabulary_digest="00")
    with pytest.raises(ModelNotFound, match="my-own-encoder"):
        await read(options)


async def test_another_tokenizer_of_that_name_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text("{}")
    with pytest.raises(ConfigError, match="not the tokenizer that documents are to be cut by"):
        await read(ChunkOptions(vocabulary=str(file), vocabulary_digest="00"))
