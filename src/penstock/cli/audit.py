"""`penstock audit`: who did what, and whether the record of it is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.arguments import HERE, AppPath, AsJson, examples
from penstock.cli.output import note, say, say_json

if TYPE_CHECKING:
    from penstock.audit.record import AuditRecord, Verdict
    from penstock.config import AppFolder

VERIFY_EXAMPLES = examples("penstock audit verify my-docs/", "penstock audit verify my-docs/ --known 9c1f…")

app = typer.Typer(no_args_is_help=True, help="Show who did what, and check that no record was changed.")


@app.command("list", epilog=examples("penstock audit list my-docs/", "penstock audit list my-docs/ --json"))
def list_(
    path: AppPath = HERE,
    action: Annotated[
        str | None, typer.Option(metavar="ACTION", help="Only one kind, such as key.created.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="NUMBER", min=1, max=500, help="How many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List administrative actions, newest first."""
    from penstock.cli.governing import moment, table
    from penstock.config import load

    records = _list(load(path), action, limit)
    if as_json:
        say_json(records)
        return
    if not records:
        note("Nothing was recorded yet.")
        return
    rows = [
        (
            str(each.number),
            moment(each.time_us),
            each.action,
            each.actor,
            each.target,
            each.project_id,
            each.address or "here",
        )
        for each in records
    ]
    table(("Number", "When", "Action", "Who", "Target", "Project", "From"), rows)


@app.command("verify", epilog=VERIFY_EXAMPLES)
def verify(
    path: AppPath = HERE,
    known: Annotated[
        str | None, typer.Option(metavar="DIGEST", help="A digest noted earlier, which must still be there.")
    ] = None,
) -> None:
    """Check each record against the one before it. Note the digest: with it, a cut end is found, too."""
    from penstock.config import load

    verdict = _verify(load(path), known)
    if verdict.broken_at is None:
        say(("ok", "green"), f"  {verdict.records} records, newest digest {verdict.head or 'none'}")
        return
    say(("broken", "bold red"), f"  {verdict.problem}; {verdict.records} records before it are as they were")
    raise typer.Exit(1)


def _list(folder: AppFolder, action: str | None, limit: int) -> tuple[AuditRecord, ...]:
    import msgspec

    from penstock.audit.record import AuditFilter
    from penstock.cli.governing import with_access
    from penstock.client import Server, running_server
    from penstock.http.api.audit import AuditList

    if server := running_server(folder):
        page = Server.of(server).read("/api/v1/audit", action=action, limit=limit)
        return msgspec.json.decode(page, type=AuditList).data
    wanted = AuditFilter(project_id=None, action=action, limit=limit)
    return with_access(folder, lambda access: access.audit.list(wanted))


def _verify(folder: AppFolder, known: str | None) -> Verdict:
    import msgspec

    from penstock.audit.record import Verdict
    from penstock.cli.governing import with_access
    from penstock.client import Server, running_server

    if server := running_server(folder):
        return msgspec.convert(Server.of(server).get("/api/v1/audit/verify", known=known), Verdict)
    return with_access(folder, lambda access: access.audit.verify(known))
