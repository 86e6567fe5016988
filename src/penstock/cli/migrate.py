"""`penstock migrate`: takes over what another gateway has."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.arguments import examples
from penstock.cli.output import count, note, say
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from penstock.migrate.litellm.applying import Done
    from penstock.migrate.litellm.values import Plan

app = typer.Typer(no_args_is_help=True, help="Take over the models, keys and budgets of another gateway.")
EXAMPLES = examples(
    "penstock migrate litellm config.yaml --dry-run",
    'penstock migrate litellm config.yaml "$DATABASE_URL" --to gateway/',
)


@app.callback()
def migrate() -> None:
    """Take over the models, keys and budgets of another gateway."""


@app.command("litellm", epilog=EXAMPLES)
def litellm(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="CONFIG|DATABASE-URL…", help="LiteLLM's config.yaml, its PostgreSQL database, or both."
        ),
    ],
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="The app folder to write.")] = Path(),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would happen, and write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a penstock.toml that is there.")] = False,
) -> None:
    """Take over LiteLLM's models, teams, keys and budgets. Its keys go on working, so no client changes."""
    import asyncio

    from penstock.config import load
    from penstock.config.folder import infer_name
    from penstock.migrate.litellm.applying import FILE, Done, apply, check, write
    from penstock.migrate.litellm.writing import as_toml

    plan = _read(sources)
    text = as_toml(plan, infer_name(to.expanduser().absolute()))
    check(text)
    done = Done()
    if not dry_run:
        configured = any(not is_address(source) for source in sources)
        if configured or not (to / FILE).exists():
            done.file = write(to, text, force=force)
        if plan.teams or plan.keys:
            written = asyncio.run(apply(load(to), plan))
            written.file = done.file
            done = written
    _show(plan, None if dry_run else done)


def is_address(source: str) -> bool:
    return source.startswith(("postgres://", "postgresql://"))


def _read(sources: list[str]) -> Plan:
    import time

    from penstock.migrate.litellm.people import read_rows
    from penstock.migrate.litellm.repository import read_database
    from penstock.migrate.litellm.settings import read_config
    from penstock.migrate.litellm.values import Plan

    addresses = [source for source in sources if is_address(source)]
    files = [source for source in sources if not is_address(source)]
    if len(addresses) > 1 or len(files) > 1:
        raise ConfigError(
            "One config.yaml and one database are taken over at a time.", hint="Run it once for each."
        )
    plan = Plan()
    for file in files:
        read_config(Path(file).expanduser(), plan)
    for address in addresses:
        read_rows(read_database(address), plan, time.time_ns() // 1000)
    return plan


def _show(plan: Plan, done: Done | None) -> None:
    """What there is, and what is not as it was; `done` is `None` where nothing was written."""
    from penstock.cli.governing import table

    table(("What", "Name", "Becomes"), list(_rows(plan)))
    if plan.notes:
        say()
        table(("Outcome", "Where", "What"), [(each.outcome, each.where, each.what) for each in plan.notes])
    sys.stdout.flush()
    for variable, content in plan.variables.items():
        note(("needs  ", "yellow"), f"the environment variable {variable}: {content}")
    if done is None:
        note("Nothing was written.")
        return
    if done.file is not None:
        note(("wrote  ", "green"), str(done.file))
    note(
        ("took over  ", "green"),
        f"{count(done.projects, 'project')}, {count(done.keys, 'key')}, ${done.carried:.2f} of running budgets"
        + (f"; {done.there} were here already" if done.there else ""),
    )


def _rows(plan: Plan) -> list[tuple[str, str, str]]:
    rows = []
    for name, model in plan.models.items():
        targets = model.get("targets") or [model]
        rows.append(("model", name, ", ".join(each["use"] for each in targets)))
    for team in plan.teams:
        state = ", closed" if team.is_blocked else ""
        rows.append(("team", team.title, f"project {team.project_id}, {count(len(team.limits), 'limit')}{state}"))
    for taken in plan.keys:
        key = taken.stored.key
        state = ", revoked" if key.revoked_us else ""
        spent = f", ${taken.spent:.2f} spent" if taken.spent else ""
        limits = count(len(key.limits), "limit")
        rows.append(("key", key.name, f"{key.role} of {key.project_id}, {limits}{spent}{state}"))
    return rows
