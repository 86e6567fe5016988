"""`penstock knowledge gaps`: what people asked and the documents do not answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from penstock.cli.arguments import HERE, AppPath, AsJson, examples
from penstock.cli.knowing import Name
from penstock.cli.output import count, harmless, note, say, say_json
from penstock.exchange import LOCAL_PROJECT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from penstock.client import Server
    from penstock.config import AppFolder
    from penstock.http.api.gaps import GapDetail
    from penstock.knowledge.base import KnowledgeBase
    from penstock.knowledge.gaps.service import Gaps
    from penstock.knowledge.gaps.values import Gap, GapState

T = TypeVar("T")
EXAMPLES = examples(
    "penstock knowledge gaps my-docs/",
    "penstock knowledge gaps my-docs/ --show gap_0197f2…",
    'penstock knowledge gaps my-docs/ --dismiss gap_0197f2… --note "not our business"',
    "penstock knowledge gaps my-docs/ --state answered --json",
)
State = Literal["open", "answered", "dismissed", "all"]
MOST = 500
QUESTIONS_SHOWN = 10


def gaps(
    path: AppPath = HERE,
    state: Annotated[State, typer.Option(help="Which gaps.")] = "open",
    show: Annotated[str, typer.Option(metavar="GAP", help="One gap with its questions.", show_default=False)] = "",
    dismiss: Annotated[
        str, typer.Option(metavar="GAP", help="Say that the documents need not answer it.", show_default=False)
    ] = "",
    reopen: Annotated[str, typer.Option(metavar="GAP", help="Take that back.", show_default=False)] = "",
    note_: Annotated[str, typer.Option("--note", metavar="TEXT", help="Why.", show_default=False)] = "",
    name: Name = "",
    as_json: AsJson = False,
) -> None:
    """Show what people asked in vain: questions that mean the same together, most asked first.

    After every ingestion the open ones are asked again, and closed where the documents answer them now.
    """
    from penstock.cli.knowing import named
    from penstock.client import Server, running_server
    from penstock.config import load

    folder = load(path)
    name = named(folder, name)
    server = running_server(folder)
    at = _Served(Server.of(server), name) if server else _Own(folder, name)
    if dismiss or reopen:
        gap = at.change(dismiss or reopen, "dismissed" if dismiss else "open", note_)
        say_json(gap) if as_json else say(("dismissed" if dismiss else "open", "green"), f"  {harmless(gap.name)}")
    elif show:
        detail = at.show(show)
        say_json(detail) if as_json else _show(detail)
    else:
        found = at.list(state)
        say_json(found) if as_json else _list(found, state)


def _list(found: list[Gap], state: State) -> None:
    from penstock.cli.governing import moment, table

    if not found:
        note("There are no such gaps." if state != "open" else "No question is waiting for an answer.")
        return
    rows = [
        (gap.id, f"{gap.count:,}", gap.state, moment(gap.last_us), harmless(gap.name), ", ".join(gap.terms))
        for gap in found
    ]
    table(("Gap", "Asked", "State", "Last", "Question", "Words"), rows)


def _show(detail: GapDetail) -> None:
    from penstock.cli.governing import moment

    gap = detail.gap
    say((harmless(gap.name), "bold"))
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in gap.reasons.items())
    say(f"asked {count(gap.count, 'time')} ({reasons}), {gap.open:,} open; {gap.state}", f"  {harmless(gap.note)}")
    for question in detail.questions[:QUESTIONS_SHOWN]:
        say(f"  {moment(question.asked_us)}  {harmless(question.text)}", (f"  {question.trace_id}", "dim"))
    if len(detail.questions) > QUESTIONS_SHOWN:
        note(f"  and {count(len(detail.questions) - QUESTIONS_SHOWN, 'more question')}.")
    if detail.nearest:
        say("nearest in the documents:")
    for hit in detail.nearest:
        say(f"  {hit.score:.2f}  {harmless(hit.document)}", (f"  {harmless(hit.location)}", "dim"))


class _Served:
    """The API of a running server."""

    def __init__(self, server: Server, name: str) -> None:
        self._server = server
        self._path = f"/api/v1/knowledge/{name}/gaps"

    def list(self, state: State) -> list[Gap]:
        import msgspec

        from penstock.http.api.gaps import GapList

        return list(msgspec.convert(self._server.get(self._path, state=state, limit=MOST), GapList).data)

    def show(self, gap_id: str) -> GapDetail:
        import msgspec

        from penstock.http.api.gaps import GapDetail

        return msgspec.convert(self._server.get(f"{self._path}/{gap_id}"), GapDetail)

    def change(self, gap_id: str, state: GapState, text: str) -> Gap:
        import msgspec

        from penstock.knowledge.gaps.values import Gap

        body = {"state": state, "note": text}
        return msgspec.convert(self._server.post(f"{self._path}/{gap_id}", body, "PATCH"), Gap)


class _Own:
    """This process, while there is no server: it starts the encoder, which tells what means the same."""

    def __init__(self, folder: AppFolder, name: str) -> None:
        self._folder = folder
        self._name = name

    def list(self, state: State) -> list[Gap]:
        wanted = None if state == "all" else state
        return self._do(lambda gaps, base: gaps.gaps(LOCAL_PROJECT, self._name, wanted, MOST))

    def show(self, gap_id: str) -> GapDetail:
        from penstock.exchange import LOCAL
        from penstock.http.api.gaps import described

        return self._do(lambda gaps, base: described(gaps, base, LOCAL, gap_id))

    def change(self, gap_id: str, state: GapState, text: str) -> Gap:
        async def work(gaps: Gaps, base: KnowledgeBase) -> Gap:
            gap, _ = await gaps.get(LOCAL_PROJECT, self._name, gap_id)
            return await gaps.set_state(LOCAL_PROJECT, gap, state, text)

        return self._do(work)

    def _do(self, work: Callable[[Gaps, KnowledgeBase], Awaitable[T]]) -> T:
        from penstock.cli.installation import check_before_start, pulled_embedders
        from penstock.cli.pulling import fetch_models
        from penstock.platform import Platform

        check_before_start(self._folder)
        fetch_models(pulled_embedders(self._folder))

        async def run() -> T:
            async with Platform.open(self._folder) as platform:
                gaps = platform.services.gaps
                assert gaps is not None  # `named` found the knowledge that it is about
                return await work(gaps, platform.knowledge[self._name])

        return asyncio.run(run())
