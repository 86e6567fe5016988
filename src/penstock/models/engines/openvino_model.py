"""A model file opened with OpenVINO: the pipeline, and text to tokens and back. Runs in child processes only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai
from numpy.typing import NDArray

from penstock.errors import InvalidRequest, UnsupportedFeature
from penstock.models.engines.text import TokenTable
from penstock.models.engines.turns import SpecialTokens
from penstock.models.engines.wire import Prompt, Setup

BLOCK_TOKENS = 32
"""The tokens of one block of OpenVINO's KV cache on a CPU."""

PIECE_BYTES = 7000
"""OpenVINO's tokenizer of a GGUF file cuts at 8192 tokens without a word; a token has a byte or more."""

Tokens = NDArray[np.int64]


def open_pipeline(setup: Setup) -> Any:
    """The pipeline with a cache of a fixed number of blocks, whose memory the system gives as it is touched."""
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.num_kv_blocks = max(1, setup.cache_tokens // BLOCK_TOKENS)
    scheduler.max_num_batched_tokens = setup.step_tokens
    scheduler.max_num_seqs = setup.max_running
    scheduler.dynamic_split_fuse = True
    scheduler.enable_prefix_caching = setup.prefix_cache
    properties = {"INFERENCE_NUM_THREADS": setup.threads} if setup.threads else {}
    return openvino_genai.ContinuousBatchingPipeline(Path(setup.file), scheduler, "CPU", properties)


class Vocabulary:
    """The model's tokenizer and chat template."""

    def __init__(self, tokenizer: Any, context: int) -> None:
        self._tokenizer = tokenizer
        self._most_bytes = max(1 << 18, 8 * context)
        pieces, special = read_pieces(tokenizer)
        self.table = TokenTable(pieces)
        self._special = SpecialTokens(special)
        self.has_template = bool(tokenizer.chat_template)
        self._bos: int = tokenizer.get_bos_token_id()

    def encode(self, prompt: Prompt) -> tuple[Tokens, bool]:
        """The tokens of a prompt, and whether that is all of them (a giant text is not read to its end).

        Raises `UnsupportedFeature` for a chat with a model that has no template, `InvalidRequest` where the
        template refuses the messages.
        """
        if prompt.messages is None:
            tokens, whole = self._encode_text(prompt.text, add_special=True)
        else:
            tokens, whole = self._encode_chat(prompt.messages)
        if not len(tokens) and self._bos >= 0:
            tokens = np.array([self._bos], np.int64)
        return tokens, whole

    def _encode_chat(self, messages: Sequence[tuple[str, str]]) -> tuple[Tokens, bool]:
        if not self.has_template:
            raise UnsupportedFeature(
                "this model has no chat template.", hint="Use /v1/completions with a raw prompt.", param="messages"
            )
        history, mark = self._special.mark(messages)
        try:
            text = self._tokenizer.apply_chat_template(history, add_generation_prompt=True)
        except Exception as error:
            raise InvalidRequest(
                f"the model's chat template refuses these messages: {last_line(error)}",
                hint="Check the roles and their order.",
                param="messages",
            ) from error
        parts = [self._encode_text(part, add_special=False) for part in text.split(mark)]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([tokens for tokens, _ in parts]), all(whole for _, whole in parts)

    def _encode_text(self, text: str, *, add_special: bool) -> tuple[Tokens, bool]:
        if len(text) * 4 <= PIECE_BYTES:
            return self._encode_piece(text, add_special), True
        pieces: list[Tokens] = []
        start = 0
        while start < len(text) and start < self._most_bytes:
            end = piece_end(text, start)
            pieces.append(self._encode_piece(text[start:end], add_special and start == 0))
            start = end
        return np.concatenate(pieces), start >= len(text)

    def _encode_piece(self, text: str, add_special: bool) -> Tokens:
        encoded = self._tokenizer.encode(text, add_special_tokens=add_special)
        return np.array(encoded.input_ids.data, np.int64).reshape(-1)


def tensor(tokens: Tokens) -> Any:
    return openvino.Tensor(tokens.reshape(1, -1))


def read_pieces(tokenizer: Any) -> tuple[list[bytes], list[str]]:
    """The bytes of each token (none for special ones), and the texts of the special ones.

    A special token is one that has a text and decodes to nothing.
    """
    vocabulary: dict[bytes, int] = tokenizer.get_vocab()
    size = max(vocabulary.values()) + 1
    decoded: list[str] = tokenizer.decode([[token] for token in range(size)])
    pieces = [text.encode() for text in decoded]
    special: list[str] = []
    for piece, token in vocabulary.items():
        if decoded[token] or not piece:
            pieces[token] = piece
            continue
        try:
            special.append(piece.decode())
        except UnicodeDecodeError:
            pieces[token] = piece
    return pieces, sorted(special, key=len, reverse=True)


def piece_end(text: str, start: int) -> int:
    """Where to cut `text` so that the piece from `start` is short enough: before a lone space if there is one."""
    end = start + PIECE_BYTES // 4
    if end >= len(text):
        return len(text)
    for at in range(end, start + PIECE_BYTES // 8, -1):
        if text[at] == " " and not text[at - 1].isspace() and not text[at + 1 : at + 2].isspace():
            return at
    return end


def last_line(error: BaseException) -> str:
    """The line of a native library's message that says what happened, without source paths."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"^\S*\.(cc|cpp|hpp|h):\d+:\s*", "", lines[-1]) if lines else type(error).__name__
