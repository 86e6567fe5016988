"""`penstock keys`, `projects` and `audit`, on a folder of their own and beside a running server."""

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from penstock.cli.main import app
from penstock.storage.lock import announced_server

GATEWAY = """[app]
name = "gateway"

[models.default]
use = "corp/model"
base_url = "http://127.0.0.1:9/v1"
api_key = { env = "CORP_KEY" }

[server]
port = 0
"""


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("PENSTOCK_DATA", "PENSTOCK_DEBUG", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CORP_KEY", "sk-corp")
    folder = tmp_path / "gateway"
    folder.mkdir()
    (folder / "penstock.toml").write_text(GATEWAY)
    return folder


@pytest.fixture
def served(gateway: Path) -> Iterator[str]:
    """A running server of the folder; its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock.cli.main", "up", str(gateway)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise AssertionError(process.communicate()[1])
    yield line.split()[-1]
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert "pst_" not in errors.replace("pst_…", "") and "pso_" not in errors


def run(*words: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output + result.stderr
    return result


def get(url: str, key: str | None) -> int:
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {key}"} if key else {})
    try:
        with urllib.request.urlopen(request) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def keys(folder: Path, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("keys", "list", folder, "--json", *options).stdout)
    return found


def walk_through(gateway: Path) -> list[str]:
    """Makes, lists, replaces and ends keys; gives those that were printed."""
    made = run("keys", "create", gateway, "--name", "ops", "--role", "owner")
    assert re.fullmatch(r"pst_[0-9A-Za-z]{43}\n", made.stdout), "the key alone, for $(…)"
    assert "owner of project local" in made.stderr and "shown this once" in made.stderr
    assert made.stdout.strip() not in made.stderr
    run("projects", "create", gateway, "--id", "team-a", "--title", "Team A")
    made_for = run(
        "keys",
        "create",
        gateway,
        *("--name", "web", "--project", "team-a", "--model", "gpt-*", "--model", "claude-*"),
        *("--limit", "usd=50/month", "--limit", "concurrent=8", "--expires", "90d"),
    )
    web = keys(gateway)[0]
    assert (web["name"], web["project_id"], web["models"]) == ("web", "team-a", ["gpt-*", "claude-*"])
    assert web["limits"] == [{"per": "key", "usd": 50.0, "window": "month"}, {"per": "key", "concurrent": 8}]
    assert web["expires_us"] - web["created_us"] == pytest.approx(90 * 86_400e6, rel=1e-4)
    assert [key["name"] for key in keys(gateway, "--project", "team-a")] == ["web"]
    assert "team-a\tTeam A\topen\tcommand line" in run("projects", "list", gateway).stdout
    rotated = run("keys", "rotate", gateway, "web", "--overlap", "10m")
    assert "works for 10m more" in rotated.stderr
    many = run("keys", "revoke", gateway, "web", code=1)
    assert "2 keys are called 'web'" in many.stderr and web["id"] in many.stderr
    assert "revoked" in run("keys", "revoke", gateway, web["id"]).stdout
    assert len(keys(gateway)) == 2 and len(keys(gateway, "--all")) == 3
    plain = run("keys", "list", gateway).stdout.splitlines()
    assert [line.split("\t")[1] for line in plain] == ["web", "ops"]
    run("projects", "close", gateway, "--id", "team-a")
    closed = run("keys", "create", gateway, "--name", "x", "--project", "team-a", code=1)
    assert "'team-a' is closed" in closed.stderr
    run("projects", "open", gateway, "--id", "team-a")
    actions = [line.split("\t")[2] for line in run("audit", "list", gateway).stdout.splitlines()]
    assert actions == [
        "project.changed",
        "project.changed",
        "key.revoked",
        "key.rotated",
        "key.created",
        "project.created",
        "key.created",
    ]
    verified = run("audit", "verify", gateway).stdout
    digest = verified.split()[-1]
    assert verified.startswith("ok  7 records")
    run("audit", "verify", gateway, "--known", digest)
    return [result.stdout.strip() for result in (made, made_for, rotated)]


def test_without_a_server(gateway: Path) -> None:
    printed = walk_through(gateway)
    everything = b"".join(path.read_bytes() for path in (gateway / ".penstock").iterdir())
    assert not any(secret[8:].encode() in everything for secret in printed)


def test_beside_a_running_server(gateway: Path, served: str) -> None:
    """The commands find their way in by the token that only this user can read; the first key closes the door."""
    assert get(f"{served}/v1/models", None) == 200
    ops, web, rotated = walk_through(gateway)
    assert get(f"{served}/v1/models", None) == 401
    assert [get(f"{served}/v1/models", key) for key in (ops, web, rotated)] == [200, 401, 200]
    run("traces", "list", gateway)
    server = announced_server(gateway / ".penstock")
    assert server is not None and get(f"{served}/api/v1/keys", server.token) == 200
    assert server.token not in repr(server)
    assert (gateway / ".penstock" / "server.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("keys", "create"), "The key needs a name"),
        (("keys", "create", "--name", "x", "--expires", "soon"), "--expires 'soon' is not a time"),
        (("keys", "create", "--name", "x", "--limit", "usd=much"), "--limit 'usd=much' is not a limit"),
        (("keys", "create", "--name", "x", "--limit", "usd=5/1y"), "limits[0].window: must be a time such as"),
        (("keys", "create", "--name", "x", "--project", "nobody"), "There is no project 'nobody'"),
        (("keys", "create", "--name", "x", "--route", "v1"), "The route 'v1' is no path"),
        (("projects", "create", "--id", "a/b"), "'a/b' cannot be the id of a project"),
        (("projects", "close", "--id", "local"), "'local' is this server's own and cannot be closed"),
    ],
)
def test_what_is_wrong_is_named(
    gateway: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(gateway)
    assert message in run(*words, code=1).stderr.replace("\n", " ")


def test_a_key_that_is_not_there(gateway: Path) -> None:
    assert "No key that works is called 'web'" in run("keys", "revoke", gateway, "web", code=1).stderr
    assert "There are no keys" in run("keys", "list", gateway).stderr


def test_a_broken_chain_is_an_error(gateway: Path) -> None:
    import sqlite3

    run("keys", "create", gateway, "--name", "ops")
    with sqlite3.connect(gateway / ".penstock" / "access.db") as file:
        file.executescript("DROP TRIGGER audit_no_update; UPDATE audit SET actor = 'nobody'")
    assert "record 1 was changed" in run("audit", "verify", gateway, code=1).stdout


def test_other_machines_are_served_once_there_is_a_key(gateway: Path) -> None:
    toml = gateway / "penstock.toml"
    toml.write_text(GATEWAY.replace("port = 0", 'host = "0.0.0.0"\nport = 0'))
    refused = run("up", gateway, code=2)
    assert "without keys whoever reaches it could do everything" in refused.stderr
    assert "penstock keys create --role owner" in refused.stderr
