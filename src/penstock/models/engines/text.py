"""From tokens to text as it streams: never half a character, never a part of a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

Utf8Decoder = codecs.getincrementaldecoder("utf-8")


class TokenTable:
    """The bytes of every token; special tokens have none."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = pieces

    def text(self, tokens: Sequence[int]) -> str:
        return b"".join([self.pieces[token] for token in tokens]).decode("utf-8", "replace")


class StopScanner:
    """Finds stop strings in text that comes in pieces; what could yet become one is held back."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""

    def feed(self, text: str) -> tuple[str, bool]:
        """The text that can go out, and whether a stop string was found. Nothing may be fed after that."""
        self._held += text
        found = min((at for at in (self._held.find(stop) for stop in self._stops) if at >= 0), default=-1)
        if found >= 0:
            out, self._held = self._held[:found], ""
            return out, True
        keep = max(overlap(self._held, stop) for stop in self._stops)
        cut = len(self._held) - keep
        out, self._held = self._held[:cut], self._held[cut:]
        return out, False

    def flush(self) -> str:
        """What was held back, once it is known that nothing follows."""
        out, self._held = self._held, ""
        return out


def overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that is a proper beginning of `stop`."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if stop.startswith(text[-length:]):
            return length
    return 0


class TextStream:
    """The text of one answer, token by token.

    Bytes that do not yet make a whole character wait for the rest; at the end they become U+FFFD.
    """

    __slots__ = ("_decode", "_pieces", "_scanner", "stopped")

    def __init__(self, table: TokenTable, stops: Sequence[str] = ()) -> None:
        self._pieces = table.pieces
        self._decode = Utf8Decoder("replace").decode
        self._scanner = StopScanner(stops) if stops else None
        self.stopped = False

    def feed(self, tokens: Sequence[int]) -> str:
        pieces = self._pieces
        data = pieces[tokens[0]] if len(tokens) == 1 else b"".join([pieces[token] for token in tokens])
        text = self._decode(data)
        if self._scanner is None or not text:
            return text
        text, self.stopped = self._scanner.feed(text)
        return text

    def flush(self) -> str:
        """The rest, once generation has ended."""
        text = self._decode(b"", True)
        if self._scanner is None or self.stopped:
            return "" if self.stopped else text
        out, self.stopped = self._scanner.feed(text) if text else ("", False)
        return out if self.stopped else out + self._scanner.flush()


def scores_within(scores: list[tuple[str, float]], length: int) -> list[tuple[str, float]]:
    """The scores of the tokens that begin within the first `length` characters of their text."""
    out = []
    at = 0
    for token, score in scores:
        if at >= length:
            break
        out.append((token, score))
        at += len(token)
    return out
