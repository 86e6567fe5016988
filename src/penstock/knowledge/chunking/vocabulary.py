"""The tokens of the encoder itself: sizes that are right in every language."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as TokenizerFile

from penstock.errors import ConfigError

PART = re.compile(r"\S.{0,20000}(?=\s|\Z)|\S.{0,20000}", re.DOTALL)
"""Text is read in parts that end at white space: of a whole book, the tokenizer would keep every token as text."""

SPACE = r" \t\n\r\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # form feeds and the like are none to BERT
MARK = r"!-/:-@\[-`{-~"
WORD = re.compile(rf"[{SPACE}]*[^{SPACE}]+|[{SPACE}]+")
WORD_OR_MARK = re.compile(rf"[{SPACE}]*(?:[^{SPACE}{MARK}]+|[{MARK}])|[{SPACE}]+")
"""What a tokenizer sees on its own, with the space before it: what stands between spaces, or between them and
punctuation (a "[SEP]" that somebody has written is five tokens then, not one)."""

KNOWN = 200_000
"""Words whose tokens are remembered, about 30 MB."""

LONGEST = 40
"""Characters; a longer token is a word that the tokenizer has given up on."""

UNREAD = 6
"""Characters to a token in such a word, as if it had been taken apart."""

Tokens = tuple[int, ...]
"""Where the tokens of a word end: the last character of each, counted from the space before the word."""


class Vocabulary:
    """The tokenizer in a `tokenizer.json`. Raises `ConfigError` for what is none."""

    def __init__(self, path: Path) -> None:
        try:
            self._tokenizer = TokenizerFile.from_file(str(path))
        except Exception as error:  # the library raises bare exceptions
            raise ConfigError(f"{path} is no tokenizer: {error}.", hint="Pull the model again.") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._word = word_of(json.loads(self._tokenizer.to_str()))
        self._known: dict[str, Tokens] = {}

    def lasts(self, text: str) -> Iterator[int]:
        return chain.from_iterable(self._of(part.group(), part.start()) for part in PART.finditer(text))

    def _of(self, part: str, at: int) -> Iterable[int]:
        return self._read(part, at) if self._word is None else self._of_words(self._word.findall(part), at)

    def _of_words(self, words: list[str], at: int) -> list[int]:
        """As `_read`, with each different word taken apart once: most words of a text are its commonest."""
        known = self._known
        unknown = set(words).difference(known)
        if len(known) + len(unknown) > KNOWN:
            known.clear()
            unknown = set(words)
        if unknown:
            self._learn(list(unknown))
        starts = accumulate(map(len, words), initial=at)
        ends = zip(starts, map(known.__getitem__, words), strict=False)
        return [start + last for start, tokens in ends for last in tokens]

    def _learn(self, words: list[str]) -> None:
        lasts = self._read("\n".join(words), 0)
        start = 0
        last = next(lasts, None)
        for word in words:
            own = []
            end = start + len(word)
            while last is not None and last < end:
                own.append(last - start)
                last = next(lasts, None)
            self._known[word] = tuple(own)
            start = end + 1

    def _read(self, text: str, at: int) -> Iterator[int]:
        for start, end in self._tokenizer.encode(text, add_special_tokens=False).offsets:
            if end - start > LONGEST:
                yield from range(at + start + UNREAD - 1, at + end - 1, UNREAD)
            yield at + end - 1


def word_of(file: dict[str, Any]) -> re.Pattern[str] | None:
    """What the tokenizer of a file takes apart whatever stands around it, `None` where that is not known."""
    first = file.get("pre_tokenizer") or {}
    steps = first.get("pretokenizers", [first])
    if any(step.get("prepend_scheme") == "first" for step in steps):
        return None
    return {"BertPreTokenizer": WORD_OR_MARK, "WhitespaceSplit": WORD}.get(steps[0].get("type", ""))


def digest_of(path: Path) -> str:
    """What tells a tokenizer's file from others."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
