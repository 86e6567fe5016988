"""The messages between an engine and its child process: msgpack, one array each, as small as they can be."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from penstock.models.engines.base import EngineSettings

Score = tuple[str, float]
"""One generated token and its natural-log probability."""


class Setup(Struct, frozen=True, array_like=True):
    """The first frame to the child: the parts of `EngineSettings` that it needs, `threads` 0 for all cores."""

    model: str
    file: str
    context: int
    cache_tokens: int
    max_running: int
    step_tokens: int
    default_max_tokens: int
    prefix_cache: bool
    threads: int


def setup_of(settings: EngineSettings) -> Setup:
    return Setup(
        model=settings.model,
        file=str(settings.file),
        context=settings.context,
        cache_tokens=settings.cache_tokens,
        max_running=settings.max_running,
        step_tokens=settings.step_tokens,
        default_max_tokens=settings.default_max_tokens,
        prefix_cache=settings.prefix_cache,
        threads=settings.threads or 0,
    )


class Ready(Struct, frozen=True, array_like=True):
    """The first frame from the child."""

    chat: bool
    cache_tokens: int


class TokenizerFacts(Struct, frozen=True, array_like=True):
    """The texts of the control and user-defined tokens, the longest first, and the token that begins a text."""

    special: list[str] = []
    beginning: int | None = None


class Serving(Struct, frozen=True, array_like=True):
    """The first frame from a child that serves HTTP: its address and token, and what its routes do not tell."""

    address: str
    token: str
    tokens: TokenizerFacts


class Prompt(Struct, frozen=True, array_like=True):
    """Either messages (pairs of role and content) for the model's chat template, or a raw text."""

    messages: list[tuple[str, str]] | None
    text: str = ""


class Submit(Struct, frozen=True, array_like=True, tag=1):
    """Starts a request. `stream` False gets its text in one delta at the end."""

    id: int
    prompt: Prompt
    max_tokens: int | None
    temperature: float
    top_p: float
    seed: int
    stop: tuple[str, ...]
    logprobs: bool
    stream: bool
    grammar: str


class Cancel(Struct, frozen=True, array_like=True, tag=2):
    id: int


class Count(Struct, frozen=True, array_like=True, tag=3):
    """Asks for the tokens of a prompt."""

    id: int
    prompt: Prompt


Command = Submit | Cancel | Count


class End(Struct, frozen=True, array_like=True):
    """A request that finished: `reason` is "stop" or "length"."""

    id: int
    reason: str
    prompt_tokens: int
    output_tokens: int


class Failure(Struct, frozen=True, array_like=True):
    """A request that failed. `code` names a class of `penstock.errors`."""

    id: int
    code: str
    message: str
    hint: str = ""
    param: str | None = None


class Frame(Struct, array_like=True):
    """All that one step brought: the text of each stream, and what ended.

    `running` and `waiting` count requests after the step; `cache_used` is the used share of the KV cache, 0 to 1.
    """

    deltas: list[tuple[int, str]] = []
    scores: list[tuple[int, list[Score]]] = []
    ends: list[End] = []
    failures: list[Failure] = []
    counts: list[tuple[int, int]] = []
    running: int = 0
    waiting: int = 0
    cache_used: float = 0.0


encode = msgspec.msgpack.Encoder().encode
decode_command = msgspec.msgpack.Decoder(Command).decode
decode_frame = msgspec.msgpack.Decoder(Frame).decode
decode_setup = msgspec.msgpack.Decoder(Setup).decode
decode_ready = msgspec.msgpack.Decoder(Ready).decode
decode_serving = msgspec.msgpack.Decoder(Serving).decode
