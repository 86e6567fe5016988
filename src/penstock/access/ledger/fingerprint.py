"""What a request asks, as two numbers: the same question again, and the same long beginning again."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from penstock.exchange import Exchange

Fingerprint = tuple[int | None, int | None, int | None]
NONE: Fingerprint = (None, None, None)

LONG_PREFIX = 4096
"""Characters of a beginning from which on a provider's cache may hold it: 1,024 tokens of English."""

_pack = msgspec.msgpack.Encoder().encode


def fingerprint(exchange: Exchange) -> Fingerprint:
    """A digest of what shapes the answer, a digest of the first message where that is long, and its characters.

    Who asks, and whether the answer is streamed, is not part of it. Nothing is known of a request that no encoding
    takes, such as one with half a character.
    """
    messages = exchange.messages
    asked = (
        exchange.operation,
        exchange.model,
        messages,
        exchange.prompt,
        exchange.inputs,
        exchange.parameters,
        b"" if messages or exchange.prompt or exchange.inputs else exchange.body,
    )
    prefix = chars = None
    if len(messages) > 1:
        first = messages[0].content
        if type(first) is str and len(first) >= LONG_PREFIX:
            prefix, chars = digest(first.encode("utf-8", "surrogatepass")), len(first)
    try:
        return digest(_pack(asked)), prefix, chars
    except (ValueError, TypeError, OverflowError):
        return NONE


def digest(data: bytes) -> int:
    """64 bits with their sign, as databases hold them."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big", signed=True)
