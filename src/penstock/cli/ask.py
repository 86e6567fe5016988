"""`penstock ask`: one question, its evidence, its cited answer, and out."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.answer import AnswerPrinter
from penstock.cli.arguments import AsJson, examples
from penstock.cli.ingestion import ingestion_bar, show_problems
from penstock.cli.pulling import fetch_models
from penstock.errors import InvalidRequest

if TYPE_CHECKING:
    from penstock.config import AppFolder

UNANSWERED = 3
EXAMPLES = examples(
    'penstock ask my-docs/ "How long may a customer return a product?"',
    "penstock ask my-docs/ 'Who signs contracts?' --json",
    "penstock ask handbook.pdf 'Who is on call?' --model ollama/llama3.2",
)


def ask(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A folder, a document, or an app folder.")],
    question: Annotated[list[str], typer.Argument(metavar="QUESTION", help="What you want to know.")],
    model: Annotated[
        str | None, typer.Option(metavar="PROVIDER/NAME", help="Compose the answer with this model.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask an app one question, and get its cited answer. Exit code 3 where the documents do not answer it."""
    from penstock.cli.installation import check_before_start, models_to_answer
    from penstock.client import Server, running_server
    from penstock.config import load
    from penstock.exchange import Message

    text = " ".join(question).strip()
    if not text:
        raise InvalidRequest("The question is empty.", hint='For example: penstock ask docs "What is a release?"')
    folder = load(path, {("models", "default"): {"use": model}} if model else None)
    printer = AnswerPrinter(text, as_json)
    if not model and (server := running_server(folder)):
        answer = Server.of(server).ask(folder.name, [Message("user", text)])
        for chunk in answer:
            printer.trace_id = answer.trace_id
            printer.take(chunk)
    else:
        check_before_start(folder)
        fetch_models(models_to_answer(folder))
        asyncio.run(_ask_folder(folder, text, printer))
    if not printer.finish():
        raise typer.Exit(UNANSWERED)


async def _ask_folder(folder: AppFolder, question: str, printer: AnswerPrinter) -> None:
    """Asks the app in this process, its knowledge brought up to date first."""
    from penstock.exchange import Message
    from penstock.platform import Platform

    async with Platform.open(folder) as platform:
        with ingestion_bar() as draw:
            summaries = await platform.ingest(draw)
        show_problems(summaries)
        exchange = platform.exchange([Message("user", question)])
        printer.trace_id = exchange.trace_id
        async with aclosing(platform.pipeline.run(exchange)) as chunks:
            async for chunk in chunks:
                printer.take(chunk)
