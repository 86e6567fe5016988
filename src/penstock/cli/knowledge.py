"""`penstock knowledge`: what can be done with the documents of an app beside taking them in."""

from __future__ import annotations

import typer

from penstock.cli import calibrate

app = typer.Typer(help="See to what an app knows, and to when it says that it does not.", no_args_is_help=True)
app.command("calibrate", epilog=calibrate.EXAMPLES)(calibrate.calibrate)
