"""Carrying a plan out: a file that was checked, then projects, keys and what was spent."""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from penstock.access.limits import Limits
from penstock.access.limits.values import NANOS_PER_USD, Ask
from penstock.access.projects import ProjectChange
from penstock.access.store import Access
from penstock.audit.record import COMMAND_LINE
from penstock.config import AppFolder, load
from penstock.config.limits import LimitSettings
from penstock.errors import ConfigError, RateLimited
from penstock.exchange import Principal
from penstock.migrate.litellm.values import Plan, Team
from penstock.platform.limits import open_limits
from penstock.storage.lock import FolderLock

FILE = "penstock.toml"
SOURCE = "litellm"


@dataclass
class Done:
    """What was written. `there` are keys and projects of an earlier run, which were left as they are."""

    file: Path | None = None
    projects: int = 0
    keys: int = 0
    there: int = 0
    carried: float = 0.0


def check(text: str) -> None:
    """Raises `ConfigError` for a file that would not load; nothing has been written then."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        path.write_text(text, "utf-8")
        load(path)


def write(folder: Path, text: str, *, force: bool) -> Path:
    """Raises `ConfigError` where the file is there and `force` is not."""
    path = folder / FILE
    if path.exists() and not force:
        raise ConfigError(
            f"{path} is there already.", hint="Give another folder with --to, or overwrite with --force."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{FILE}.new")
        draft.write_text(text, "utf-8")
        draft.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.", hint="Check its permissions.") from None
    return path


async def apply(folder: AppFolder, plan: Plan) -> Done:
    """Writes projects and keys. A second run adds what is new and changes nothing else.

    Raises `StorageError` where a server has the data folder.
    """
    done = Done()
    async with AsyncExitStack() as stack:
        stack.enter_context(FolderLock(folder.make_data_folder()))
        # What penstock.toml declares is not needed, and its variables may not be set in this shell.
        access = Access.open(folder.database, folder.data, folder.settings.access.pepper)
        stack.push_async_callback(access.close)
        limits = await open_limits(folder, access, stack)
        fresh = await _projects(access, plan, done)
        spent: dict[str, float] = {}
        for key in plan.keys:
            if not await access.keys.take_over(COMMAND_LINE, key.stored, SOURCE):
                done.there += 1
                continue
            done.keys += 1
            made = key.stored.key
            who = Principal(project_id=made.project_id, key_id=made.id, name=made.name, role=made.role)
            own = (*made.limits, *access.projects.limits_of(made.project_id), *folder.settings.limits)
            carried = await carry(limits, who, own, key.spent, plan)
            spent[made.project_id] = spent.get(made.project_id, 0.0) + carried
            done.carried += carried
        for team in fresh:
            who = Principal(project_id=team.project_id, name=SOURCE)
            rest = team.spent - spent.get(team.project_id, 0.0)
            done.carried += await carry(limits, who, team.limits, rest, plan)
            if team.is_blocked:
                await access.projects.change(COMMAND_LINE, team.project_id, ProjectChange(archived=True))
    return done


async def _projects(access: Access, plan: Plan, done: Done) -> list[Team]:
    """Makes the projects that are not there yet, and returns their teams."""
    known = {project.id for project in access.projects.list(COMMAND_LINE.principal)}
    fresh = [team for team in plan.teams if team.project_id not in known]
    for team in fresh:
        await access.projects.create(COMMAND_LINE, team.project_id, team.title, team.limits)
    done.projects, done.there = len(fresh), len(plan.teams) - len(fresh)
    return fresh


async def carry(
    limits: Limits, who: Principal, own: tuple[LimitSettings, ...], dollars: float, plan: Plan
) -> float:
    """Counts what was spent in the running windows of the budgets that hold; returns how much could be counted.

    Of a budget that was overdrawn, all is counted as used.
    """
    budgets = [each.usd for each in own if each.usd is not None and each.model is None]
    if dollars <= 0 or not budgets:
        return 0.0
    for amount in (dollars, min(dollars, *budgets)):
        nanos = int(amount * NANOS_PER_USD)
        try:
            reservation = await limits.reserve(Ask(principal=who, model=SOURCE, cost_nanos=nanos, part="work"))
        except RateLimited:
            continue
        reservation.settle(0, nanos)
        return amount
    plan.note("left out", f"spend of {who.name}", f"${dollars:.2f} do not fit into the limits, and are not counted")
    return 0.0
