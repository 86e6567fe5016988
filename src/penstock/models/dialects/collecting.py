"""The chunks of an answer as one chunk, so that streamed and whole answers are written by one code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from penstock.exchange import Chunk, FunctionCall, ThinkingBlock, ToolCall


def collected(chunks: Iterable[Chunk]) -> Chunk:
    """All chunks of an answer as one; of several answers (`n`) the first, with its `others`.

    Of two groundings the last counts.
    """
    chunks = list(chunks)
    if len(chunks) == 1:
        return chunks[0]
    by_index: dict[int, list[Chunk]] = {}
    for chunk in chunks:
        for each in (chunk, *chunk.others):
            by_index.setdefault(each.index, []).append(each)
    first, *others = [joined(index, pieces) for index, pieces in sorted(by_index.items())] or [{}]
    for chunk in chunks:
        for name in ("usage", "grounding", "raw"):
            if (value := getattr(chunk, name)) is not None:
                first[name] = value
    return Chunk(others=tuple(Chunk(**each) for each in others), **first)


def joined(index: int, pieces: list[Chunk]) -> dict[str, Any]:
    """The fields of one answer."""
    return {
        "index": index,
        "text": "".join(piece.text for piece in pieces),
        "reasoning": "".join(piece.reasoning for piece in pieces),
        "thinking_blocks": tuple(closed_blocks(pieces)),
        "tool_calls": joined_calls(call for piece in pieces for call in piece.tool_calls),
        "logprobs": tuple(each for piece in pieces for each in piece.logprobs),
        "embeddings": tuple(each for piece in pieces for each in piece.embeddings),
        "finish_reason": next((piece.finish_reason for piece in reversed(pieces) if piece.finish_reason), None),
    }


def closed_blocks(pieces: Iterable[Chunk]) -> Iterator[ThinkingBlock]:
    """The blocks of reasoning, each with its text, which may have come in the pieces before it."""
    thought: list[str] = []
    for piece in pieces:
        if piece.reasoning:
            thought.append(piece.reasoning)
        for block in piece.thinking_blocks:
            if block.type != "thinking":
                yield block
                continue
            yield ThinkingBlock(
                block.type, "".join(thought) if block.thinking is None else block.thinking, block.signature
            )
            thought.clear()


def joined_calls(pieces: Iterable[ToolCall]) -> tuple[ToolCall, ...]:
    """Whole calls from their pieces."""
    ids: dict[int, str | None] = {}
    names: dict[int, str] = {}
    arguments: dict[int, list[str]] = {}
    for piece in pieces:
        at = piece.index or 0
        if at not in ids:
            ids[at], names[at], arguments[at] = piece.id, piece.function.name, []
        names[at] = names[at] or piece.function.name
        ids[at] = ids[at] or piece.id
        arguments[at].append(piece.function.arguments)
    return tuple(
        ToolCall(ids[at], FunctionCall(names[at], "".join(arguments[at])), index=place)
        for place, at in enumerate(sorted(ids))
    )
