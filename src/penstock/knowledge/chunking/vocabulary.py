"""The tokens of the encoder itself: sizes that are right in every language, at 3 MB of text a second."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer as TokenizerFile

from penstock.errors import ConfigError

PART = re.compile(r"\S.{0,20000}(?=\s|\Z)|\S.{0,20000}", re.DOTALL)
"""Text is read in parts that end at white space: of a whole book, the tokenizer would keep every token as text."""

LONGEST = 40
"""Characters; a longer token is a word that the tokenizer has given up on."""

UNREAD = 6
"""Characters to a token in such a word, as if it had been taken apart."""


class Vocabulary:
    """The tokenizer in a `tokenizer.json`. Raises `ConfigError` for what is none."""

    def __init__(self, path: Path) -> None:
        try:
            self._tokenizer = TokenizerFile.from_file(str(path))
        except Exception as error:  # the library raises bare exceptions
            raise ConfigError(f"{path} is no tokenizer: {error}.", hint="Pull the model again.") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def lasts(self, text: str) -> Iterator[int]:
        for part in PART.finditer(text):
            at = part.start()
            for start, end in self._tokenizer.encode(part.group(), add_special_tokens=False).offsets:
                if end - start > LONGEST:
                    yield from range(at + start + UNREAD - 1, at + end - 1, UNREAD)
                yield at + end - 1


def digest_of(path: Path) -> str:
    """What tells a tokenizer's file from others."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
