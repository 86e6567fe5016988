"""Access behaves the same on SQLite and PostgreSQL, shared by two processes' worth of parts."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text

from penstock.access.projects import ProjectChange
from penstock.access.store import Access, ever_had_keys
from penstock.access.values import NewKey
from penstock.audit.record import COMMAND_LINE
from penstock.errors import PenstockError, Unauthenticated
from penstock.storage.location import open_database


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    if request.param == "sqlite":
        return tmp_path
    url: str = request.getfixturevalue("postgres_url")
    return url


async def test_two_that_share_a_database(location: Path | str, tmp_path: Path) -> None:
    assert not ever_had_keys(location)
    here, there = Access.open(location, tmp_path), Access.open(location, tmp_path)
    await here.projects.create(COMMAND_LINE, "team-a")
    made = await asyncio.gather(
        *(
            access.keys.create(COMMAND_LINE, NewKey(name=f"key {number}"))
            for number in range(10)
            for access in (here, there)
        )
    )
    secrets = [each.secret.reveal().encode() for each in made]
    for access in (here, there):
        for secret in secrets:
            assert (await access.keys.authenticate_late(secret)).project_id == "local"
    await there.keys.revoke(COMMAND_LINE, made[0].key.id)
    await there.projects.change(COMMAND_LINE, "team-a", ProjectChange(title="A"))
    with pytest.raises(Unauthenticated, match="revoked"):
        await here.keys.authenticate_late(secrets[0])
    assert here.projects.get(COMMAND_LINE.principal, "team-a").title == "A"
    verdict = await here.audit.verify()
    assert (verdict.records, verdict.broken_at) == (23, None)
    await here.close()
    await there.close()
    assert ever_had_keys(location)


async def test_the_groups_of_a_key_are_kept(location: Path | str, tmp_path: Path) -> None:
    access = Access.open(location, tmp_path)
    made = await access.keys.create(COMMAND_LINE, NewKey(name="portal", groups=("hr", "Ärzte")))
    await access.close()
    access = Access.open(location, tmp_path)
    assert access.keys.authenticate(made.secret.reveal().encode()).groups == ("hr", "Ärzte")
    await access.close()


@pytest.mark.parametrize("change", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"])
async def test_the_database_keeps_its_records(location: Path | str, tmp_path: Path, change: str) -> None:
    access = Access.open(location, tmp_path)
    await access.keys.create(COMMAND_LINE, NewKey(name="web"))
    await access.close()
    database = open_database(location, "access")
    with pytest.raises(PenstockError, match="kept as they are"):
        await database.write(lambda connection: connection.execute(text(change)))
    database.close()
