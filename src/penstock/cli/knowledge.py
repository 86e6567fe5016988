"""`penstock knowledge`: what can be done with the documents of an app beside taking them in."""

from __future__ import annotations

import typer

from penstock.cli import (
    calibrate,
    knowledge_gaps,
    knowledge_generations,
    knowledge_move,
    knowledge_runs,
    knowledge_search,
    knowledge_show,
    knowledge_tune,
    knowledge_verify,
)

app = typer.Typer(help="See to what an app knows, and to when it says that it does not.", no_args_is_help=True)
app.command("calibrate", epilog=calibrate.EXAMPLES)(calibrate.calibrate)
app.command("search", epilog=knowledge_search.EXAMPLES)(knowledge_search.search)
app.command("tune", epilog=knowledge_tune.EXAMPLES)(knowledge_tune.tune)
app.command("runs", epilog=knowledge_runs.RUNS)(knowledge_runs.runs)
app.command("documents", epilog=knowledge_runs.DOCUMENTS)(knowledge_runs.documents)
app.command("show", epilog=knowledge_show.EXAMPLES)(knowledge_show.show)
app.command("generations", epilog=knowledge_generations.LIST)(knowledge_generations.generations)
app.command("diff", epilog=knowledge_generations.DIFF)(knowledge_generations.diff)
app.command("rollback", epilog=knowledge_generations.BACK)(knowledge_generations.rollback)
app.command("publish", epilog=knowledge_generations.PUBLISH)(knowledge_generations.publish)
app.command("move", epilog=knowledge_move.EXAMPLES)(knowledge_move.move)
app.command("gaps", epilog=knowledge_gaps.EXAMPLES)(knowledge_gaps.gaps)
app.command("verify", epilog=knowledge_verify.EXAMPLES)(knowledge_verify.verify)
