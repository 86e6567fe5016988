"""Projects and keys that penstock.toml declares."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from penstock.access.store import Access
from penstock.access.values import NewKey
from penstock.audit.record import COMMAND_LINE
from penstock.config.access import KeySettings, ProjectSettings
from penstock.config.secret import Secret
from penstock.errors import ConfigError, Conflict, Unauthenticated

GOOD = "c1b8a5f0e6d24973b2a1908f7e6d5c4b"


@pytest_asyncio.fixture
async def access(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Access]:
    monkeypatch.setenv("TEAM_KEY", GOOD)
    access = Access.open(tmp_path, tmp_path)
    yield access
    await access.close()


def content_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def declared(**rights: object) -> dict[str, KeySettings]:
    return {"web": KeySettings.model_validate({"key": Secret.from_env("TEAM_KEY")} | rights)}


async def test_a_declared_key_works_and_is_read_only(access: Access, tmp_path: Path) -> None:
    access.declare({"team-a": ProjectSettings(title="Team A")}, declared(project="team-a", models=["gpt-*"]))
    assert access.keys.required
    principal = access.keys.authenticate(GOOD.encode())
    assert (principal.project_id, principal.name, principal.models) == ("team-a", "web", ("gpt-*",))
    (key,) = access.keys.list(COMMAND_LINE.principal)
    assert (key.source, key.prefix) == ("config", "c1b8")
    for call in (access.keys.revoke, access.keys.rotate):
        with pytest.raises(Conflict, match=r"'web' is declared in penstock\.toml"):
            await call(COMMAND_LINE, key.id)
    await access.close()
    assert GOOD.encode() not in content_of(tmp_path)


async def test_a_declared_key_is_in_its_groups(access: Access) -> None:
    access.declare({}, declared(groups=["hr", "board"]))
    assert access.keys.authenticate(GOOD.encode()).groups == ("hr", "board")


async def test_what_the_file_no_longer_declares_does_not_work(access: Access) -> None:
    access.declare({}, declared())
    access.declare({}, {})
    with pytest.raises(Unauthenticated):
        access.keys.authenticate(GOOD.encode())
    assert access.keys.required, "a server that asked for keys goes on asking"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("short", "keys.web.key could be guessed: it has 5 characters"),
        ("a" * 64, "keys.web.key could be guessed: its characters repeat"),
        ("", "TEAM_KEY is not set"),
    ],
)
async def test_a_key_that_could_be_guessed(
    access: Access, monkeypatch: pytest.MonkeyPatch, value: str, message: str
) -> None:
    monkeypatch.setenv("TEAM_KEY", value)
    with pytest.raises(ConfigError, match=message) as error:
        access.declare({}, declared())
    assert not value or value not in str(error.value)
    assert not access.keys.required


async def test_a_project_is_made_or_declared(access: Access) -> None:
    await access.projects.create(COMMAND_LINE, "team-a")
    with pytest.raises(ConfigError, match=r"\[projects.team-a\]: there is a project 'team-a' already"):
        access.declare({"team-a": ProjectSettings()}, {})
    with pytest.raises(ConfigError, match=r"keys\.web\.project: there is no project 'team-b'"):
        access.declare({}, declared(project="team-b"))
    access.declare({}, declared(project="team-a"))
    made = await access.keys.create(COMMAND_LINE, NewKey(name="beside", project_id="team-a"))
    assert access.keys.authenticate(made.secret.reveal().encode()).name == "beside"
