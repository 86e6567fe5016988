"""Tokens reckoned from text, for where nobody has counted them."""

from __future__ import annotations

from penstock.exchange import Exchange, Usage

CHARACTERS_PER_TOKEN = 4
"""Of English text in the vocabularies in use; other languages and code take more tokens."""


def characters_of(exchange: Exchange) -> int:
    """The length of everything that is said in a request."""
    size = len(exchange.prompt) + sum(map(len, exchange.inputs))
    for message in exchange.messages:
        content = message.content
        size += len(content) if isinstance(content, str) else len(message.text)
    return size


def tokens_of(exchange: Exchange) -> int:
    """About how many tokens the prompt has, at least one."""
    return max(1, -(-characters_of(exchange) // CHARACTERS_PER_TOKEN))


def usage_of(exchange: Exchange, delivered: int) -> Usage:
    """The usage of an answer that broke off after `delivered` characters."""
    return Usage(tokens_of(exchange), -(-delivered // CHARACTERS_PER_TOKEN), estimated=True)
