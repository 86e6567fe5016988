"""Keys as they are kept: the HMAC-SHA256 of each under a pepper that does not stand in the database.

Whoever reads the database, or a backup of it, can neither use a key nor test a guess. The pepper is the secret of
`[access] pepper`, or a file in the data folder that is made once.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from penstock.config.secret import Secret
from penstock.errors import ConfigError, StorageError

PEPPER_BYTES = 32
SECRET_BYTES = 32
MOST_RECENT = 4096
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
DIGITS = 43
"""Base-62 digits that hold 256 bits."""
KEY_PREFIX = "pst_"
SHOWN = 8
"""Characters of a key that are kept to recognise it: the prefix, and 24 of its 256 bits."""


class Pepper:
    """Makes digests. Cannot be printed.

    The digests of what was shown lately are kept under a faster one, keyed with random bytes of this process:
    OpenSSL takes several times as long for a short HMAC as all else that a key is checked by.
    """

    __slots__ = ("_key", "_recent", "_salt")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._salt = secrets.token_bytes(32)
        self._recent: dict[bytes, bytes] = {}

    def digest(self, secret: bytes) -> bytes:
        """The HMAC-SHA256 that a secret is found by."""
        short = hashlib.blake2b(secret, digest_size=32, key=self._salt).digest()
        found = self._recent.get(short)
        if found is None:
            found = hmac.digest(self._key, secret, "sha256")
            if len(self._recent) >= MOST_RECENT:
                self._recent.clear()
            self._recent[short] = found
        return found

    @property
    def check(self) -> str:
        """Tells whether a database was written under this pepper."""
        return self.digest(b"penstock: is this the pepper?").hex()

    def __repr__(self) -> str:
        return "Pepper(********)"


def open_pepper(folder: Path, given: Secret | None) -> Pepper:
    """The configured pepper, else that of the data folder, which is made here where there is none.

    Raises `ConfigError` for one that is too short, `StorageError` where the file cannot be used.
    """
    if given is not None:
        value = given.reveal().encode()
        if len(value) < PEPPER_BYTES:
            raise ConfigError(
                f"The pepper has {len(value)} characters, and {PEPPER_BYTES} are needed.",
                hint="Make one with `openssl rand -hex 32`.",
            )
        return Pepper(value)
    path = folder / "pepper"
    try:
        if not path.exists():
            make_pepper(path)
        value = path.read_bytes()
    except OSError as error:
        raise StorageError(
            f"The pepper file {path} cannot be used: {error.strerror}.", hint="Check the rights of the data folder."
        ) from None
    if len(value) != PEPPER_BYTES:
        raise StorageError(
            f"The pepper file {path} has {len(value)} bytes instead of {PEPPER_BYTES}.",
            hint="Restore it from a backup; without it, no key that was made under it works.",
        )
    return Pepper(value)


def make_pepper(path: Path) -> None:
    """Writes a new pepper, readable by this user only; one that another process has just written stays."""
    draft = path.with_name(f"pepper.{os.getpid()}.new")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(file, secrets.token_bytes(PEPPER_BYTES))
        os.fsync(file)
    finally:
        os.close(file)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def new_secret(prefix: str = KEY_PREFIX) -> str:
    """`pst_` and 256 random bits as 43 letters and digits."""
    number = int.from_bytes(secrets.token_bytes(SECRET_BYTES), "big")
    digits = []
    for _ in range(DIGITS):
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return prefix + "".join(reversed(digits))


def shown_prefix(secret: str) -> str:
    """What is kept of a key to recognise it by."""
    return secret[:SHOWN]
