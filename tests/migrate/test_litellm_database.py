"""LiteLLM's database: keys that go on working, teams, budgets and what was spent of them."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import openai
import pytest
from support.litellm_database import LiteLlmDatabase, litellm_hash
from support.postgres_server import PostgresServer
from support.terminal import piped

from penstock.access.hashing import open_pepper
from penstock.access.limits.values import NANOS
from penstock.config import load
from penstock.errors import ConfigError, Unavailable
from penstock.migrate.litellm.applying import Done, apply, write
from penstock.migrate.litellm.people import read_rows
from penstock.migrate.litellm.repository import read_database
from penstock.migrate.litellm.values import Plan
from penstock.migrate.litellm.writing import as_toml
from penstock.platform import Platform
from penstock.testing.server import ProviderServer

KEY = "sk-Q3nWpX0uJ9aZ2mT7vK1cLg"
NOW = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
NOW_US = int(datetime.now(UTC).timestamp() * 1e6)


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
def litellm(postgres: PostgresServer) -> Iterator[LiteLlmDatabase]:
    with postgres.database() as url:
        yield LiteLlmDatabase(url)


def plan_of(litellm: LiteLlmDatabase) -> Plan:
    plan = Plan()
    read_rows(read_database(litellm.url), plan, NOW_US)
    return plan


def key_of(litellm: LiteLlmDatabase) -> Any:
    (key,) = plan_of(litellm).keys
    return key.stored.key


def limits(key: Any) -> list[dict[str, Any]]:
    return [each.model_dump(exclude_unset=True, exclude={"per"}) for each in key.limits]


def test_rights_rates_and_budgets_of_a_key(litellm: LiteLlmDatabase) -> None:
    litellm.add("BudgetTable", budget_id="b", soft_budget=40.0, max_budget=9.0)
    litellm.key(
        KEY,
        key_alias="web",
        models=["gpt-4.1", "small"],
        expires=NOW + timedelta(days=90),
        rpm_limit=60,
        tpm_limit=100_000,
        max_parallel_requests=8,
        max_budget=50.0,
        budget_id="b",
        budget_duration="1mo",
        spend=12.5,
        allowed_routes=["/chat/completions", "/v1/embeddings"],
        model_max_budget={"gpt-4.1": {"budget_limit": 10, "time_period": "1d"}},
        metadata={"model_rpm_limit": {"small": 5}},
    )
    (taken,) = plan_of(litellm).keys
    key = taken.stored.key
    assert (taken.stored.scheme, taken.stored.digest.hex(), taken.spent) == ("sha256", litellm_hash(KEY), 12.5)
    assert (key.name, key.prefix, key.role, key.project_id) == ("web", "sk-...1cLg", "developer", "local")
    assert (key.models, key.routes) == (("gpt-4.1", "small"), ("/v1/chat/completions", "/v1/embeddings"))
    assert key.expires_us == int((NOW + timedelta(days=90)).replace(tzinfo=UTC).timestamp() * 1e6)
    assert limits(key) == [
        {"requests": 60, "tokens": 100_000, "window": "1m"},
        {"concurrent": 8},
        {"usd": 50, "window": "month", "warn_at": 0.8},
        {"model": "gpt-4.1", "usd": 10, "window": "day"},
        {"model": "small", "requests": 5, "window": "1m"},
    ]


def test_a_budget_of_the_table_of_budgets(litellm: LiteLlmDatabase) -> None:
    litellm.add("BudgetTable", budget_id="b", max_budget=5.0, budget_duration="24h", rpm_limit=3)
    litellm.key(KEY, budget_id="b", rpm_limit=9)
    assert limits(key_of(litellm)) == [{"requests": 9, "window": "1m"}, {"usd": 5, "window": "day"}]


def test_a_key_of_a_team_has_its_project_and_no_more_models_than_it(litellm: LiteLlmDatabase) -> None:
    litellm.team("3f1c", team_alias="Data & AI", models=["small", "openai/*"], max_budget=9.0, tpm_limit=7)
    litellm.team("9b2d", team_alias="data ai")
    litellm.key("sk-1", team_id="3f1c", key_alias="1")
    litellm.key("sk-2", team_id="3f1c", key_alias="2", models=["small", "big", "openai/gpt-4o"])
    litellm.key("sk-3", team_id="3f1c", key_alias="3", models=["all-team-models"])
    litellm.key("sk-4", team_id="3f1c", key_alias="4", models=["big"])
    litellm.key("sk-5", team_id="gone", key_alias="5")
    litellm.key("sk-6", key_alias="6", models=["no-default-models"])
    plan = plan_of(litellm)
    assert [(team.project_id, team.title) for team in plan.teams] == [("data-ai", "Data & AI"), ("9b2d", "data ai")]
    found = {each.stored.key.name: each.stored.key for each in plan.keys}
    assert {key.project_id for key in found.values()} == {"data-ai"}
    assert {name: key.models for name, key in found.items()} == {
        "1": ("small", "openai/*"),
        "2": ("small", "openai/gpt-4o"),
        "3": ("small", "openai/*"),
        "4": ("-",),
    }
    said = {note.where.rpartition(" ")[2] for note in plan.notes if "VerificationToken" in note.where}
    assert {"5", "6"} <= said


def test_keys_that_did_not_work_do_not_now(litellm: LiteLlmDatabase) -> None:
    litellm.key("sk-1", key_alias="blocked", blocked=True)
    litellm.key("sk-2", key_alias="nothing", max_budget=0.0)
    litellm.key("sk-3", key_alias="over", expires=NOW - timedelta(days=1))
    litellm.add("VerificationToken", token="sk-not-hashed", key_alias="plain")
    plan = plan_of(litellm)
    found = {each.stored.key.name: each.stored.key for each in plan.keys}
    assert set(found) == {"blocked", "nothing", "over"}
    assert found["blocked"].revoked_us and found["nothing"].revoked_us
    assert found["over"].expires_us and found["over"].expires_us < NOW_US
    assert "sk-not-hashed" not in repr(plan.notes)


def test_what_has_no_counterpart_is_said(litellm: LiteLlmDatabase) -> None:
    litellm.add("UserTable", user_id="ada", max_budget=3.0)
    litellm.key(
        KEY,
        key_alias="web",
        user_id="ada",
        aliases={"a": "b"},
        allowed_routes=["management_routes"],
        metadata={"tags": ["x"]},
        budget_duration="5h",
        max_budget=1.0,
    )
    plan = plan_of(litellm)
    token = "LiteLLM_VerificationToken web"
    assert {(note.outcome, note.where) for note in plan.notes} == {
        ("left out", "LiteLLM_UserTable"),
        ("left out", f"{token} aliases"),
        ("left out", f"{token} allowed_routes"),
        ("left out", f"{token} metadata.tags"),
        ("left out", f"{token} user_id"),
        ("changed", token),
    }
    (key,) = plan.keys
    assert key.stored.key.routes == ("/nothing",)


def test_models_of_the_database(litellm: LiteLlmDatabase) -> None:
    litellm.add(
        "ProxyModelTable", model_id="1", model_name="a", litellm_params={"model": "openai/x", "api_key": "enc"}
    )
    litellm.add("ProxyModelTable", model_id="2", model_name="b", litellm_params={"model": "T1JkZW5jcnlwdGVk"})
    plan = plan_of(litellm)
    assert plan.models["a"]["use"] == "openai/x" and plan.models["a"]["api_key"].env == "OPENAI_API_KEY"
    assert "b" not in plan.models
    assert any("encrypted with LiteLLM's salt key" in note.what for note in plan.notes)


def test_databases_that_are_not_litellm_s(postgres: PostgresServer) -> None:
    with postgres.database() as url, pytest.raises(ConfigError, match="it is not LiteLLM's"):
        read_database(url)
    with pytest.raises(Unavailable, match="cannot be read") as caught:
        read_database("postgresql://user:hunter2@127.0.0.1:9/none")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigError, match="is not one"):
        read_database("postgresql://host:port/name")


async def take_over(plan: Plan, folder: Path) -> Done:
    write(folder, as_toml(plan, "gateway"), force=True)
    return await apply(load(folder), plan)


async def test_what_was_spent_counts_in_the_running_budget(litellm: LiteLlmDatabase, tmp_path: Path) -> None:
    month = {"budget_duration": "1mo", "budget_reset_at": NOW + timedelta(days=9)}
    litellm.team("t", team_alias="team", max_budget=100.0, spend=30.0, **month)
    litellm.key("sk-1", key_alias="web", team_id="t", max_budget=50.0, spend=12.5, **month)
    litellm.key("sk-2", key_alias="over", max_budget=2.0, spend=2.5, **month)
    litellm.key(
        "sk-3", key_alias="old", max_budget=2.0, spend=1.0, budget_duration="1d", budget_reset_at=NOW - timedelta(1)
    )
    litellm.key("sk-4", key_alias="free", spend=8.0)
    plan = plan_of(litellm)
    done = await take_over(plan, tmp_path)
    assert (done.projects, done.keys, done.there, done.carried) == (1, 4, 0, 32.0)
    async with Platform.open(load(tmp_path)) as platform:
        limits = platform.services.limits
        assert limits is not None
        used = {
            (each.spec.per, each.spec.scope): each.used / 1e9
            for each in await limits.usage()
            if each.spec.dimension == NANOS
        }
    assert used == {("project", "team"): 30.0, ("key", "web"): 12.5, ("key", "over"): 2.0}
    again = await take_over(plan, tmp_path)
    assert (again.projects, again.keys, again.there, again.carried) == (0, 0, 5, 0.0)


@contextlib.asynccontextmanager
async def served(folder: Path) -> AsyncIterator[str]:
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with Platform.open(load(folder, {("server", "port"): 0})) as platform:
        task = asyncio.create_task(platform.serve(listening.set_result))
        try:
            yield await asyncio.wait_for(listening, 30)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_no_client_changes(litellm: LiteLlmDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way: the command, the server, OpenAI's SDK with a key of LiteLLM."""
    monkeypatch.setenv("UPSTREAM_KEY", "any")
    litellm.team("t", team_alias="team", models=["gpt-4.1"])
    litellm.key(KEY, key_alias="web", team_id="t")
    litellm.key("sk-blocked-000000000000", key_alias="old", blocked=True)
    folder = tmp_path / "gateway"
    async with ProviderServer() as upstream:
        config = tmp_path / "config.yaml"
        config.write_text(
            "model_list:\n  - model_name: gpt-4.1\n    litellm_params:\n      model: openai/gpt-4.1-2025\n"
            f"      api_base: {upstream.base_url}\n      api_key: os.environ/UPSTREAM_KEY\n"
            "  - model_name: other\n    litellm_params: {model: openai/other, api_key: os.environ/UPSTREAM_KEY}\n"
        )
        ran = await asyncio.to_thread(piped, ["migrate", "litellm", str(config), litellm.url, "--to", str(folder)])
        assert ran.returncode == 0, ran.stderr
        assert "1 project, 2 keys" in ran.stderr
        assert stored(folder) == ("sha256", litellm_hash(KEY))
        async with served(folder) as url:
            client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)
            for _ in range(2):
                answer = await client.chat.completions.create(
                    model="gpt-4.1", messages=[{"role": "user", "content": "Hi"}]
                )
                assert answer.choices[0].message.content
            with pytest.raises(openai.NotFoundError):
                await client.chat.completions.create(model="other", messages=[{"role": "user", "content": "Hi"}])
            for wrong in ("sk-blocked-000000000000", "sk-unknown", litellm_hash(KEY)):
                stranger = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=wrong, max_retries=0)
                with pytest.raises(openai.AuthenticationError):
                    await stranger.models.list()
    data = load(folder).data
    assert stored(folder) == ("hmac-sha256", open_pepper(data, None).digest(KEY.encode()).hex())


def stored(folder: Path) -> tuple[str, str]:
    with sqlite3.connect(load(folder).data / "access.db") as connection:
        row: tuple[str, str] = connection.execute(
            "SELECT hash_scheme, digest FROM access_key WHERE name = 'web'"
        ).fetchone()
        return row
