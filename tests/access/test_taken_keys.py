"""Keys that another gateway made: found by the SHA-256 that it kept, and by the pepper's digest from then on."""

import hashlib
import sqlite3
from pathlib import Path

import msgspec
import pytest

from penstock.access.hashing import open_pepper
from penstock.access.store import Access
from penstock.access.values import Key, StoredKey
from penstock.audit.record import COMMAND_LINE, AuditFilter
from penstock.errors import Unauthenticated

SECRET = b"sk-Q3nWpX0uJ9aZ2mT7vK1cLg"


def taken(**more: object) -> StoredKey:
    key = Key(id="key_litellm_1", name="web", prefix="sk-...K1cLg", **more)  # type: ignore[arg-type]
    return StoredKey(key, hashlib.sha256(SECRET).digest(), "sha256")


def row(folder: Path) -> tuple[str, str]:
    with sqlite3.connect(folder / "access.db") as connection:
        found: tuple[str, str] = connection.execute("SELECT hash_scheme, digest FROM access_key").fetchone()
        return found


async def test_it_works_and_is_upgraded_on_first_use(tmp_path: Path) -> None:
    access = Access.open(tmp_path, tmp_path)
    assert await access.keys.take_over(COMMAND_LINE, taken(), "litellm")
    assert not await access.keys.take_over(COMMAND_LINE, taken(), "litellm"), "a second time changes nothing"
    for wrong in (b"sk-wrong", hashlib.sha256(SECRET).hexdigest().encode(), hashlib.sha256(SECRET).digest(), b""):
        with pytest.raises(Unauthenticated):
            access.keys.authenticate(wrong)
    await access.close()
    assert row(tmp_path) == ("sha256", hashlib.sha256(SECRET).hexdigest()), "nobody has used it"

    access = Access.open(tmp_path, tmp_path)
    for _ in range(2):
        assert access.keys.authenticate(SECRET).name == "web"
    await access.close()
    assert row(tmp_path) == ("hmac-sha256", open_pepper(tmp_path, None).digest(SECRET).hex())

    access = Access.open(tmp_path, tmp_path)
    assert access.keys.authenticate(SECRET).name == "web"
    (record,) = await access.audit.list(AuditFilter(project_id=None))
    assert msgspec.json.decode(record.after)["from"] == "litellm"
    await access.close()


async def test_another_process_takes_the_upgrade_over(tmp_path: Path) -> None:
    first, second = Access.open(tmp_path, tmp_path), Access.open(tmp_path, tmp_path)
    await first.keys.take_over(COMMAND_LINE, taken(), "litellm")
    assert (await second.keys.authenticate_late(SECRET)).name == "web"
    await second._shared.upgrade()
    await first._shared.catch_up()
    assert not first._directory._plain
    assert first.keys.authenticate(SECRET).name == "web"
    await first.close()
    await second.close()


async def test_one_that_was_revoked_or_replaced_does_not_work(tmp_path: Path) -> None:
    access = Access.open(tmp_path, tmp_path)
    await access.keys.take_over(COMMAND_LINE, taken(revoked_us=1), "litellm")
    with pytest.raises(Unauthenticated, match="revoked"):
        access.keys.authenticate(SECRET)
    await access.close()
    assert row(tmp_path)[0] == "hmac-sha256"


async def test_revoking_before_the_first_use(tmp_path: Path) -> None:
    access = Access.open(tmp_path, tmp_path)
    await access.keys.take_over(COMMAND_LINE, taken(), "litellm")
    await access.keys.revoke(COMMAND_LINE, "key_litellm_1")
    with pytest.raises(Unauthenticated, match="revoked"):
        access.keys.authenticate(SECRET)
    await access.close()
