"""The record of administrative actions: whole, in order, and every change of it is found."""

import asyncio
import itertools
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from penstock.access.store import Access
from penstock.access.values import NewKey
from penstock.audit.record import COMMAND_LINE, SYSTEM, Actor, AuditFilter, Event
from penstock.errors import Conflict
from penstock.exchange import Principal

ALL = AuditFilter(project_id=None, limit=500)


@pytest_asyncio.fixture
async def access(tmp_path: Path) -> AsyncIterator[Access]:
    access = Access.open(tmp_path, tmp_path)
    yield access
    await access.close()


async def fill(access: Access, number: int) -> None:
    await asyncio.gather(*(access.audit.record(Event(action="test.done", target=str(i))) for i in range(number)))


async def test_records_are_numbered_without_a_gap_and_chained(access: Access) -> None:
    await fill(access, 50)
    records = await access.audit.list(ALL)
    assert [each.number for each in records] == list(range(50, 0, -1))
    assert all(newer.previous == older.digest for newer, older in itertools.pairwise(records))
    assert {each.target for each in records} == {str(i) for i in range(50)}
    verdict = await access.audit.verify(records[20].digest)
    assert (verdict.records, verdict.head, verdict.broken_at) == (50, records[0].digest, None)


async def test_what_was_done_is_said(access: Access) -> None:
    actor = Actor(Principal(name="ada", key_id="key_1"), "192.0.2.7")
    event = Event(action="limit.changed", target="x", project_id="team-a", before={"usd": 5}, after={"usd": 9})
    await access.audit.record(event, actor)
    (record,) = await access.audit.list(AuditFilter(project_id="team-a"))
    assert (record.actor, record.key_id, record.address) == ("ada", "key_1", "192.0.2.7")
    assert (msgspec.json.decode(record.before), msgspec.json.decode(record.after)) == ({"usd": 5}, {"usd": 9})
    assert await access.audit.list(AuditFilter(project_id="team-b")) == ()
    await access.audit.record(Event(action="target.ejected", target="openai/gpt-5"), SYSTEM)
    assert (await access.audit.list(AuditFilter(project_id=None, limit=1)))[0].actor == "penstock"


async def test_an_action_that_fails_leaves_no_record_and_one_that_succeeds_leaves_one(access: Access) -> None:
    made = await access.keys.create(COMMAND_LINE, NewKey(name="web"))
    await access.keys.rotate(COMMAND_LINE, made.key.id)
    await access.keys.revoke(COMMAND_LINE, made.key.id)
    with pytest.raises(Conflict):
        await access.keys.rotate(COMMAND_LINE, made.key.id)
    await access.projects.create(COMMAND_LINE, "team-a")
    with pytest.raises(Conflict):
        await access.projects.create(COMMAND_LINE, "team-a")
    actions = [each.action for each in await access.audit.list(ALL)]
    assert actions == ["project.created", "key.revoked", "key.rotated", "key.created"]


async def test_pages_follow_each_other(access: Access) -> None:
    await fill(access, 7)
    first = await access.audit.list(AuditFilter(project_id=None, limit=4))
    rest = await access.audit.list(AuditFilter(project_id=None, limit=4, before=first[-1].number))
    assert [each.number for each in (*first, *rest)] == [7, 6, 5, 4, 3, 2, 1]


CHANGES = {
    "a record changed": ("UPDATE audit SET actor = 'nobody' WHERE number = 5", 5, "record 5 was changed"),
    "what it recorded": ("UPDATE audit SET after = '{}' WHERE number = 9", 9, "record 9 was changed"),
    "a record taken out": ("DELETE FROM audit WHERE number = 5", 5, "record 5 is missing"),
    "the newest taken out": ("DELETE FROM audit WHERE number > 8", 9, "10 were written, 8 are there"),
    "two exchanged": (
        "UPDATE audit SET number = CASE number WHEN 4 THEN 99 WHEN 5 THEN 4 END WHERE number IN (4, 5); "
        "UPDATE audit SET number = 5 WHERE number = 99",
        4,
        "does not follow record 3",
    ),
}


@pytest.mark.parametrize(("change", "place", "problem"), CHANGES.values(), ids=CHANGES.keys())
async def test_every_change_is_found(access: Access, tmp_path: Path, change: str, place: int, problem: str) -> None:
    await fill(access, 10)
    with sqlite3.connect(tmp_path / "access.db") as file:
        file.executescript("DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete;" + change)
    verdict = await access.audit.verify()
    assert verdict.broken_at == place
    assert problem in verdict.problem


async def test_an_end_that_was_cut_with_its_counter_is_found_by_a_digest_noted_before(
    access: Access, tmp_path: Path
) -> None:
    await fill(access, 10)
    noted = (await access.audit.verify()).head
    with sqlite3.connect(tmp_path / "access.db") as file:
        file.executescript(
            "DROP TRIGGER audit_no_delete; DELETE FROM audit WHERE number > 6;"
            "UPDATE audit_head SET number = 6, digest = (SELECT digest FROM audit WHERE number = 6)"
        )
    assert (await access.audit.verify()).broken_at is None
    assert "no record has the digest" in (await access.audit.verify(noted)).problem


@pytest.mark.parametrize("change", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"])
async def test_the_database_itself_refuses(access: Access, tmp_path: Path, change: str) -> None:
    await fill(access, 1)
    with sqlite3.connect(tmp_path / "access.db") as file, pytest.raises(sqlite3.IntegrityError, match="kept as"):
        file.execute(change)
