"""`penstock knowledge tune`: which way to cut and to search suits the app's own questions."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.arguments import HERE, AppPath, AsJson, examples
from penstock.cli.ingestion import ingestion_bar
from penstock.cli.output import is_terminal, note, say, say_json
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from penstock.config import AppFolder
    from penstock.knowledge.base import KnowledgeBase
    from penstock.knowledge.tune.questions import Questions
    from penstock.knowledge.tune.report import Row, TuneReport
    from penstock.knowledge.tune.scoring import Figures
    from penstock.platform import Platform

EXAMPLES = examples(
    "penstock knowledge tune my-docs/",
    "penstock knowledge tune my-docs/ --write",
    "penstock knowledge tune my-docs/ --questions questions.jsonl --json",
)
STALE = ("chunk_overlap", "chunk_sentences", "parent_tokens")
WRITTEN = "penstock.toml"
SCRATCH = "tune-"


def tune(
    path: AppPath = HERE,
    questions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The questions, as JSON lines. Default: evals/golden.jsonl of the app."),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Take the winner: a new generation, and its lines in penstock.toml.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Race ways to cut and to search documents on the app's own questions.

    Half of the questions choose, the other half judges: only what is better there, too, is taken. Without questions
    of its own, the app's documents are asked in their own words. Nothing changes without --write.
    """
    from penstock.cli.installation import check_before_start, pulled_embedders
    from penstock.cli.pulling import fetch_models
    from penstock.client import running_server
    from penstock.config import load

    folder = load(path)
    if server := running_server(folder):
        raise ConfigError(
            f"the server at {server.url} has the documents open.", hint="Stop it, tune, and start it again."
        )
    if questions is not None and not questions.is_file():
        raise ConfigError(f"there are no questions at {questions}.", hint="Give a file of JSON lines.")
    check_before_start(folder)
    fetch_models(pulled_embedders(folder))
    report = asyncio.run(_tune(folder, questions or folder.root / "evals" / "golden.jsonl", write))
    if as_json:
        say_json(report)
    else:
        _show(report, written=write)


async def _tune(folder: AppFolder, file: Path, write: bool) -> TuneReport:
    from penstock.knowledge.tune.racing import Race, Racers
    from penstock.platform import Platform
    from penstock.platform.chunking import options_of

    async with Platform.open(folder) as platform:
        await platform.ingest()
        ((name, base),) = platform.knowledge.items()
        settings = folder.settings.knowledge[name]
        embedder = platform.services.embedders[settings.embedder]
        questions = await asyncio.to_thread(_questions, base, file)
        racers = Racers(
            name=name,
            sources=base.all_sources(platform.lasting.sources[name]),
            embedder=embedder,
            options=options_of(settings, embedder),
            vector_weight=settings.vector_weight,
        )
        for left in folder.data.glob(f"{SCRATCH}*"):  # by one that was killed
            shutil.rmtree(left, ignore_errors=True)
        with (
            tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder.data) as scratch,
            ingestion_bar() as draw,
        ):
            race = Race(racers, questions, Path(scratch), lambda tried: note((f"trying {tried}", "dim")))
            report = await race.run(lambda progress: draw(name, progress))
        if write and report.switches:
            await _take(folder, platform, racers.name, report)
        return report


def _questions(base: KnowledgeBase, file: Path) -> Questions:
    """The app's own, else some made of its documents."""
    from penstock.knowledge.calibrating import read_golden
    from penstock.knowledge.tune.questions import Text, made_of, resolved
    from penstock.knowledge.values import EVERYTHING

    rows = [row for row in base.documents(EVERYTHING) if row.chunks]
    texts = [Text(row.path, base.document(row.id, EVERYTHING).text) for row in rows]
    return resolved(read_golden(file), texts) if file.is_file() else made_of(texts)


async def _take(folder: AppFolder, platform: Platform, name: str, report: TuneReport) -> None:
    """The winner as a new generation with the table beside it, then its lines in the configuration: whatever ends
    this in between, the next run makes the knowledge what the configuration says."""
    import msgspec

    from penstock.config.editing import with_settings
    from penstock.knowledge.ingestion.records import RunRules
    from penstock.platform.chunking import options_of

    winner = report.rows[report.best].candidate
    settings = folder.settings.knowledge[name]
    embedder = platform.services.embedders[settings.embedder]
    base = platform.knowledge[name]
    base.read_as(msgspec.structs.replace(options_of(settings, embedder), chunking=winner.chunking))
    about = f"tuned: {winner.name}, vector_weight {winner.vector_weight:g}, {report.gain:+.3f} held out"
    rules = RunRules(note=f"{about}\n{msgspec.json.encode(report).decode()}")
    with ingestion_bar() as draw:
        await base.ingest(
            platform.lasting.sources[name], progress=lambda progress: draw(name, progress), rules=rules
        )
    file = folder.root / WRITTEN
    text = file.read_text("utf-8") if file.is_file() else ""
    lines = winner.lines()
    stale = tuple(each for each in STALE if each not in lines)
    made = file.with_suffix(".toml.new")
    made.write_text(with_settings(text, f"knowledge.{name}", lines, stale), "utf-8")
    made.replace(file)


def _show(report: TuneReport, *, written: bool) -> None:
    """The table, then what came of it."""
    where = "made of the documents" if report.made else "of the app"
    say(f"{report.questions} questions {where}", f", {report.skipped} skipped" if report.skipped else "")
    say("")
    width = max(len(row.candidate.name) for row in report.rows)
    say((f"{'cut':<{width}}  weight  passages |  hit@1  hit@5    MRR  recall    ms | held out: MRR  recall", "dim"))
    for at, row in enumerate(report.rows):
        mark = "  <- in use" if at == report.present else "  <- best" if at == report.best else ""
        line = _line(row, width)
        say((line, "bold") if mark and is_terminal(sys.stdout) else line, mark)
    say("")
    if report.made:
        note(
            "These questions are in the documents' own words, so the weight of the vectors was not raced. Write"
            " your own into evals/golden.jsonl."
        )
    note("Vectors have length 1: the cosine and the dot product give the same order.")
    _say_outcome(report, written)


def _line(row: Row, width: int) -> str:
    chosen, held = row.choosing, row.held_out
    weight = f"{row.candidate.vector_weight:>6.2f}"
    figures = f"{chosen.hit1:>6.1%} {chosen.hit5:>6.1%} {chosen.mrr:>6.3f} {_recall(chosen)} {chosen.ms:>5.0f}"
    judged = f"{held.mrr:>13.3f} {_recall(held)}"
    return f"{row.candidate.name:<{width}}  {weight}  {row.passages:>8,} | {figures} | {judged}"


def _recall(figures: Figures) -> str:
    return "      -" if figures.recall is None else f"{figures.recall:>7.1%}"


def _say_outcome(report: TuneReport, written: bool) -> None:
    if report.best == report.present:
        say("Nothing was better than what is in use.")
        return
    winner = report.rows[report.best].candidate
    if not report.switches:
        say(f"{winner.name} was best where it was chosen, but not on the questions held out ({report.gain:+.3f}).")
        say("What is in use stays.")
        return
    say(f"{winner.name}, vector_weight {winner.vector_weight:g}: {report.gain:+.3f} on the questions held out.")
    if written:
        say(f"It is a new generation now, and in {WRITTEN}.")
        return
    say("Nothing was changed. With --write it becomes a new generation, with these lines in penstock.toml:")
    for name, value in winner.lines().items():
        say(f"  {name} = {value!r}".replace("'", '"'))
