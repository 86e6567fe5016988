"""Which requests are the same: a digest of everything that shapes an answer, whoever may see it first.

A body is compared by its meaning: the order of fields, spaces and what is null do not count. Fields that say who
asks, or how the answer is to be sent, are left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from penstock.exchange import Exchange
from penstock.gateway.cache.base import namespace_of
from penstock.gateway.cache.entry import form_of
from penstock.gateway.registry import Target
from penstock.knowledge.readers import reader_of

DIGEST = 24
MAX_QUESTION = 500
"""Characters of the longest question that is compared by meaning; longer ones hold more than a vector tells."""

NOT_SHAPING = (
    "metadata",
    "model",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "stream",
    "stream_options",
    "user",
)
TRANSLATABLE = frozenset(
    {
        "frequency_penalty",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "parallel_tool_calls",
        "presence_penalty",
        "prompt",
        "reasoning_effort",
        "response_format",
        "seed",
        "service_tier",
        "stop",
        "stop_sequences",
        "store",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)
"""Fields of a body whose answer is read whole into chunks, so that a stream can be made of a whole one and back."""

DECODER = msgspec.json.Decoder()
ENCODER = msgspec.json.Encoder(order="deterministic")


class Question(Struct, frozen=True):
    """The last message of a user, and a digest of all that stands around it."""

    text: str
    context: bytes


class CacheRequest(Struct, frozen=True):
    """What a request is to the cache.

    `form` says which stored bytes fit it, `translatable` whether an answer of another form may be written anew.
    """

    key: bytes
    form: str
    translatable: bool
    question: Question | None = None


class Keys:
    """Makes the keys of one configuration.

    `shape` is a digest of what the configuration says about the models, so that a changed one does not find the
    answers of the old. `generation` tells the generation of the knowledge behind an app, by its name; what an app
    answered is only found by who may find the same documents. `by_user` keeps the answers of end users apart,
    `by_key` those of keys. `questions` asks for `CacheRequest.question`.
    """

    def __init__(
        self,
        shape: str = "",
        generation: Callable[[str], int | None] = lambda name: None,
        *,
        by_user: bool = False,
        by_key: bool = False,
        questions: bool = False,
    ) -> None:
        self._shape = shape
        self._generation = generation
        self._by_user = by_user
        self._by_key = by_key
        self._questions = questions

    def of(self, exchange: Exchange, target: Target) -> CacheRequest | None:
        """`None` for a body that is not a JSON object."""
        fields = fields_of(exchange)
        if fields is None:
            return None
        seed = self._seed(exchange, target)
        namespace = namespace_of(exchange.project_id)
        question = None
        if self._questions and (text := question_of(exchange)) is not None:
            around = fields | {"messages": without_question(fields["messages"])}
            question = Question(text, namespace + digest(seed, around))
        translatable = fields.keys() <= TRANSLATABLE and exchange.parameters.n == 1
        return CacheRequest(namespace + digest(seed, fields), form_of(exchange), translatable, question)

    def _seed(self, exchange: Exchange, target: Target) -> bytes:
        who = ""
        if self._by_user:
            who = f"user {exchange.user}" if exchange.user else f"key {exchange.principal.key_id}"
        if self._by_key:
            who += f" key {exchange.principal.key_id}"
        generation = None if target.is_leaf else self._generation(target.name)
        readers = None if target.is_leaf else reader_of(exchange.principal).tags
        parts: tuple[object, ...] = (
            exchange.project_id,
            self._shape,
            target.name,
            target.provider.name,
            target.release_id,
            generation,
            readers,
            exchange.operation,
            exchange.dialect if exchange.body else "",
            exchange.options.get("headers") if exchange.body else exchange.options.get("top_n"),
            who,
        )
        return ENCODER.encode(parts)


def fields_of(exchange: Exchange) -> dict[str, Any] | None:
    """What shapes the answer, from the body or, for an exchange of this process, from its own fields."""
    if not exchange.body:
        own: dict[str, Any] = {"messages": exchange.messages, "inputs": exchange.inputs, "prompt": exchange.prompt}
        return own | {"parameters": exchange.parameters, "dimensions": exchange.options.get("dimensions")}
    try:
        fields = DECODER.decode(exchange.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    for name in NOT_SHAPING:
        fields.pop(name, None)
    return {name: plain(value) for name, value in fields.items() if value is not None}


def plain(value: Any) -> Any:
    """0.0 and 0 ask for the same temperature."""
    return int(value) if type(value) is float and value.is_integer() else value


def digest(seed: bytes, fields: dict[str, Any]) -> bytes:
    hashed = hashlib.blake2b(seed, digest_size=DIGEST)
    hashed.update(ENCODER.encode(fields))
    return hashed.digest()


def question_of(exchange: Exchange) -> str | None:
    """The text to compare by meaning: a short last message of a user that is only text."""
    if exchange.operation != "chat" or not exchange.messages:
        return None
    last = exchange.messages[-1]
    if last.role != "user" or not (isinstance(last.content, str) or only_text(last.content)):
        return None
    text = last.text.strip()
    return text if 0 < len(text) <= MAX_QUESTION else None


def only_text(parts: Any) -> bool:
    return bool(parts) and all(part.type == "text" for part in parts)


def without_question(messages: Any) -> list[Any]:
    last = messages[-1]
    return [*messages[:-1], {**last, "content": None} if isinstance(last, dict) else None]
