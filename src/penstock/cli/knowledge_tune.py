"""`penstock knowledge tune`: which way to cut and to search suits the app's own questions."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.arguments import HERE, AppPath, AsJson, examples
from penstock.cli.ingestion import ingestion_bar
from penstock.cli.output import count, is_terminal, note, say, say_json
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from penstock.config import AppFolder
    from penstock.knowledge.base import KnowledgeBase
    from penstock.knowledge.calibrating import Golden
    from penstock.knowledge.tune.questions import Questions, Text
    from penstock.knowledge.tune.report import Row, TuneReport
    from penstock.knowledge.tune.scoring import Figures
    from penstock.platform import Platform

EXAMPLES = examples(
    "penstock knowledge tune my-docs/",
    "penstock knowledge tune my-docs/ --write",
    "penstock knowledge tune my-docs/ --questions questions.jsonl --json",
    "penstock knowledge tune my-docs/ --depths 2,4,8",
)
STALE = ("chunk_overlap", "chunk_sentences", "parent_tokens")
WRITTEN = "penstock.toml"
ORIGINS = {
    "app": "of the app",
    "model": "written by models.default",
    "sentences": "made of words of the documents",
}
SCRATCH = "tune-"


def tune(
    path: AppPath = HERE,
    questions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The questions, as JSON lines. Default: evals/golden.jsonl of the app."),
    ] = None,
    depths: Annotated[
        str,
        typer.Option(metavar="N,N,…", help="How many passages an answer may be made from.", show_default=False),
    ] = "",
    write: Annotated[
        bool, typer.Option("--write", help="Take the winner: a new generation, and its lines in penstock.toml.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Race ways to cut and to search documents on the app's own questions.

    Half of the questions choose, the other half judges: only what is better there, too, is taken. Where the app has
    no questions, its model writes some, or else they are made of words of the documents. Nothing changes without
    --write.
    """
    from penstock.cli.installation import check_before_start, pulled_embedders
    from penstock.cli.pulling import fetch_models
    from penstock.client import running_server
    from penstock.config import load
    from penstock.knowledge.calibrating import read_golden

    folder, raced = load(path), depths_in(depths)
    if server := running_server(folder):
        raise ConfigError(
            f"the server at {server.url} has the documents open.", hint="Stop it, tune, and start it again."
        )
    if questions is not None and not questions.is_file():
        raise ConfigError(f"there are no questions at {questions}.", hint="Give a file of JSON lines.")
    check_before_start(folder)
    fetch_models(pulled_embedders(folder))
    file = questions or folder.root / "evals" / "golden.jsonl"
    wanted = Wanted(read_golden(file) if file.is_file() else None, raced, write)
    report = asyncio.run(_tune(folder, wanted))
    if as_json:
        say_json(report)
    else:
        _show(report, written=write)


@dataclass(frozen=True)
class Wanted:
    """The app's own questions, if any, the numbers of passages to try, and whether to take the winner."""

    golden: Sequence[Golden] | None
    depths: tuple[int, ...]
    write: bool


def depths_in(text: str) -> tuple[int, ...]:
    """Raises `ConfigError` for what are no numbers of passages."""
    from penstock.knowledge.tune.depth import DEPTHS, MOST

    if not text:
        return DEPTHS
    found = tuple(int(part) if re.fullmatch(r"\s*[0-9]{1,3}\s*", part) else 0 for part in text.split(","))
    if not all(1 <= each <= MOST for each in found):
        raise ConfigError(
            f"--depths {text!r} must be numbers of passages from 1 to {MOST}.", hint="Give --depths 2,4,8."
        )
    return found


async def _tune(folder: AppFolder, wanted: Wanted) -> TuneReport:
    from penstock.cli.racing import race_bar
    from penstock.knowledge.tune.racing import Race, Racers
    from penstock.knowledge.values import EVERYTHING, ignore_progress
    from penstock.platform import Platform
    from penstock.platform.chunking import options_of

    async with Platform.open(folder) as platform:
        await platform.ingest()
        ((name, base),) = platform.knowledge.items()
        settings = folder.settings.knowledge[name]
        embedder = platform.services.embedders[settings.embedder]
        texts = await asyncio.to_thread(texts_of, base)
        questions = await questions_of(platform, texts, wanted.golden)
        racers = Racers(
            name=name,
            sources=base.all_sources(platform.lasting.sources[name]),
            embedder=embedder,
            options=options_of(settings, embedder),
            vector_weight=settings.vector_weight,
            depth=depth_of(platform),
            depths=wanted.depths,
            has_code=any(row.kind == "code" for row in base.documents(EVERYTHING)),
        )
        for left in folder.data.glob(f"{SCRATCH}*"):  # by one that was killed
            shutil.rmtree(left, ignore_errors=True)
        with (
            tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder.data) as scratch,
            race_bar() as told,
        ):
            note(f"{count(len(questions.questions), 'question')} {ORIGINS[questions.origin]}")
            report = await Race(racers, questions, Path(scratch), told).run(ignore_progress)
        if wanted.write and report.switches:
            await _take(folder, platform, racers.name, report)
        if wanted.write and report.best_depth != report.depth:
            write_lines(folder, "app", {"passages": report.best_depth})
        return report


def depth_of(platform: Platform) -> int:
    """How many passages the app's answers are made from."""
    if platform.app is None:
        raise ConfigError("the app has no knowledge.", hint="Add [knowledge.docs] to penstock.toml.")
    return platform.app.settings.depth


def texts_of(base: KnowledgeBase) -> list[Text]:
    from penstock.knowledge.tune.questions import Text
    from penstock.knowledge.values import EVERYTHING

    rows = [row for row in base.documents(EVERYTHING) if row.chunks]
    return [Text(row.path, base.document(row.id, EVERYTHING).text) for row in rows]


async def questions_of(platform: Platform, texts: list[Text], golden: Sequence[Golden] | None) -> Questions:
    """The app's own; else some that its model writes, where it composes; else some made of sentences."""
    from penstock.cli.racing import asking_bar
    from penstock.exchange import Exchange
    from penstock.ids import new_id, new_trace_id
    from penstock.knowledge.answer import GroundedApp
    from penstock.knowledge.tune.asking import written
    from penstock.knowledge.tune.questions import made_of, resolved

    if golden is not None:
        return resolved(golden, texts)
    services = platform.services
    app = services.registry.get(services.app_name).provider
    if not isinstance(app, GroundedApp) or not app.settings.composes:
        return made_of(texts)
    asked = Exchange(id=new_id("req"), trace_id=new_trace_id(), purpose="eval", model=app.settings.model)
    with asking_bar() as told:
        return await written(services.pipeline.call, asked, texts, told)


async def _take(folder: AppFolder, platform: Platform, name: str, report: TuneReport) -> None:
    """The winner as a new generation with the table beside it, then its lines in the configuration: whatever ends
    this in between, the next run makes the knowledge what the configuration says."""
    import msgspec

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
    lines = winner.lines()
    write_lines(folder, f"knowledge.{name}", lines, tuple(each for each in STALE if each not in lines))


def write_lines(
    folder: AppFolder, table: str, lines: Mapping[str, str | int | float], stale: tuple[str, ...] = ()
) -> None:
    """Puts settings into the app's file, whole or not at all."""
    from penstock.config.editing import with_settings

    file = folder.root / WRITTEN
    text = file.read_text("utf-8") if file.is_file() else ""
    made = file.with_suffix(".toml.new")
    made.write_text(with_settings(text, table, lines, stale), "utf-8")
    made.replace(file)


def _show(report: TuneReport, *, written: bool) -> None:
    """The table, then what came of it."""
    say(
        f"{report.questions} questions {ORIGINS[report.origin]}",
        f", {report.skipped} skipped" if report.skipped else "",
    )
    say("")
    width = max(len(row.candidate.name) for row in report.rows)
    say((f"{'cut':<{width}}  weight  passages |  hit@1  hit@5    MRR  recall    ms | held out: MRR  recall", "dim"))
    for at, row in enumerate(report.rows):
        mark = "  <- in use" if at == report.present else "  <- best" if at == report.best else ""
        line = _line(row, width)
        say((line, "bold") if mark and is_terminal(sys.stdout) else line, mark)
    say("")
    _show_depths(report)
    say("")
    if report.origin == "sentences":
        note(
            "These questions are half of the words of one sentence each, which is to be found; no word is masked or"
            " replaced. So they favour words over vectors, and the weight of the vectors and the number of"
            " passages are shown but not chosen by them. Write your own into evals/golden.jsonl, or give the app a"
            " model."
        )
    if report.origin == "model":
        note(
            "A model has written these questions, each about one passage, which is to be found. People ask"
            " otherwise: write your own into evals/golden.jsonl."
        )
    note("Vectors have length 1: the cosine and the dot product give the same order.")
    _say_outcome(report, written)
    _say_depth(report, written)


def _show_depths(report: TuneReport) -> None:
    """Among how many passages an answer is found how often, of the cut and weight that is taken."""
    if not report.depths:
        return
    say(("passages  found | held out", "dim"))
    for each in report.depths:
        mark = "  <- in use" if each.passages == report.depth else ""
        mark = "  <- enough" if each.passages == report.best_depth and not mark else mark
        say(f"{each.passages:>8}  {each.choosing:>5.1%} | {each.held_out:>8.1%}", mark)


def _say_depth(report: TuneReport, written: bool) -> None:
    if report.best_depth == report.depth:
        say(f"Answers from {report.depth} passages stay.")
        return
    say(f"{report.best_depth} passages are enough in place of {report.depth}: more find no more but for chance.")
    if written:
        say(f"That is in {WRITTEN} now; `penstock knowledge calibrate` fits the threshold to it.")
    else:
        say(f"With --write this line comes under [app] in {WRITTEN}:")
        say(f"  passages = {report.best_depth}")


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
