"""The `penstock` command: the list of its commands, and the one place where errors are rendered.

Only what `--help` shows is imported here; each command imports what it needs when it runs.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from penstock.cli import (
    ask,
    audit,
    batches,
    config,
    costs,
    dashboard,
    doctor,
    ingest,
    init,
    keys,
    knowledge,
    limits,
    migrate,
    models,
    projects,
    pull,
    traces,
    up,
    why,
)
from penstock.cli.output import complain, note, say
from penstock.errors import ConfigError, PenstockError

FAILED = 1
MISUSED = 2
INTERRUPTED = 130


class Commands(TyperGroup):
    """Renders errors: what happened, what to do next, and an exit code; a traceback only with `--debug`."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except PenstockError as error:
            if _debugging(ctx):
                raise
            complain(error)
            raise typer.Exit(MISUSED if isinstance(error, ConfigError) else FAILED) from None
        except KeyboardInterrupt:
            note("\nStopped.")
            raise typer.Exit(INTERRUPTED) from None
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if _debugging(ctx) or not _is_ours(error):
                raise
            complain(
                PenstockError(
                    f"Something unexpected happened: {type(error).__name__}: {error}.",
                    hint="This is a bug in Penstock. `penstock --debug COMMAND …` shows where; please report it.",
                )
            )
            raise typer.Exit(FAILED) from None


def _debugging(ctx: Any) -> bool:
    return bool(ctx.params.get("debug")) or bool(os.environ.get("PENSTOCK_DEBUG"))


def _is_ours(error: Exception) -> bool:
    """Usage errors (`No such option`) belong to the command-line library, which renders them itself."""
    return not hasattr(error, "exit_code")


app = typer.Typer(
    name="penstock",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        say(f"penstock {version('penstock')}")
        raise typer.Exit


@app.callback(
    epilog="Start with:  penstock up my-docs/",
)
def penstock(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and leave.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """From a folder of documents to a grounded, cited, traced answer."""


app.command("up", epilog=up.EXAMPLES, short_help="Serve an app.")(up.up)
app.command("ask", epilog=ask.EXAMPLES, short_help="Ask an app one question.")(ask.ask)
app.command("init", epilog=init.EXAMPLES, short_help="Write down an app's settings and prompt.")(init.init)
app.command("ingest", epilog=ingest.EXAMPLES, short_help="Take in new and changed documents.")(ingest.ingest)
app.command("pull", epilog=pull.EXAMPLES, short_help="Fetch models into the cache.")(pull.pull)
app.command("doctor", epilog=doctor.EXAMPLES, short_help="Check this machine and an app.")(doctor.doctor)
app.command("dashboard", epilog=dashboard.EXAMPLES, short_help="Print a Grafana dashboard.")(dashboard.dashboard)
app.command("why", epilog=why.EXAMPLES, short_help="Show what an answer hangs on.")(why.why)
app.command("limits", epilog=limits.EXAMPLES, short_help="Show what is used of limits.")(limits.limits)
app.add_typer(traces.app, name="traces")
app.add_typer(models.app, name="models")
app.add_typer(knowledge.app, name="knowledge")
app.add_typer(batches.app, name="batches")
app.add_typer(keys.app, name="keys")
app.add_typer(projects.app, name="projects")
app.add_typer(audit.app, name="audit")
app.add_typer(costs.app, name="costs")
app.add_typer(migrate.app, name="migrate")
app.add_typer(config.app, name="config")


def main() -> None:
    """The entry point of the `penstock` script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # an old terminal shows "?" for what it does not know
    app(prog_name="penstock")


if __name__ == "__main__":
    main()
