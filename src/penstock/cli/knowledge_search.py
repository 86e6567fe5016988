"""`penstock knowledge search`: the passages that a question finds, with their scores, and no answer."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli.arguments import AsJson, NamedApp, examples
from penstock.cli.output import note, say, say_json
from penstock.errors import InvalidRequest

if TYPE_CHECKING:
    from penstock.config import AppFolder
    from penstock.http.api.search import SearchAnswer

SHOWN = 300
"""Characters of a passage on the terminal."""

EXAMPLES = examples(
    'penstock knowledge search my-docs/ "returns of opened goods"',
    "penstock knowledge search my-docs/ 'notice period' --filter '{\"team\": \"hr\"}' --limit 10",
    "penstock knowledge search my-docs/ ERR-4711 --mode text --json",
)


def search(
    path: NamedApp,
    question: Annotated[list[str], typer.Argument(metavar="QUESTION", help="What to look for.")],
    limit: Annotated[int, typer.Option(min=1, max=100, metavar="N", help="Passages at most.")] = 5,
    mode: Annotated[str, typer.Option(metavar="MODE", help="hybrid, dense or text.")] = "hybrid",
    filter_: Annotated[
        str | None, typer.Option("--filter", metavar="JSON", help="Which documents, by their metadata.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--knowledge", metavar="NAME", help="Which knowledge; default: the only one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find passages, without an answer. Exit code 0 also where there are none."""
    import msgspec

    from penstock.client import Server, running_server
    from penstock.config import load
    from penstock.http.api.search import SearchAnswer, SearchBody

    folder = load(path)
    body: dict[str, Any] = {"q": " ".join(question).strip(), "limit": limit, "mode": mode}
    if filter_ is not None:
        body["filter"] = filter_of(filter_)
    if not body["q"]:
        raise InvalidRequest("The question is empty.", hint='Write it after the folder: "returns".')
    name = name or next(iter(folder.settings.knowledge), "")
    if server := running_server(folder):
        found = Server.of(server).post(f"/api/v1/knowledge/{name}/search", body)
        answer = msgspec.convert(found, SearchAnswer)
    else:
        try:
            wanted = msgspec.convert(body, SearchBody)
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"{error}.", hint="Modes are hybrid, dense and text.") from None
        answer = asyncio.run(_search(folder, name, wanted))
    if as_json:
        say_json(answer)
        return
    if not answer.hits:
        note("Nothing was found.")
    for number, hit in enumerate(answer.hits, start=1):
        where = " › ".join([hit.document, *hit.heading]) + (f", page {hit.page}" if hit.page else "")
        vector = "–" if hit.vector_score is None else f"{hit.vector_score:.3f}"
        say(
            (f"{number}. {where}", "bold"),
            (f"  {hit.score:.3f}  vectors {vector}  words {hit.text_score:.3f}", "dim"),
        )
        text = " ".join(hit.text.split())
        say(f"   {text[:SHOWN]}{'…' if len(text) > SHOWN else ''}")


def filter_of(text: str) -> dict[str, Any]:
    """Raises `InvalidRequest`."""
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise InvalidRequest(
            f"--filter {text[:60]!r} is no JSON object.", hint='Write --filter \'{"team": "hr"}\'.'
        )
    return data


async def _search(folder: AppFolder, name: str, body: Any) -> SearchAnswer:
    from penstock.errors import NotFound
    from penstock.http.api.search import SearchAnswer, query_of
    from penstock.knowledge.base import EVERYTHING
    from penstock.platform import Platform

    async with Platform.open(folder) as platform:
        base = platform.knowledge.get(name)
        if base is None:
            known = ", ".join(platform.knowledge) or "none"
            raise NotFound(f"There is no knowledge {name!r}.", hint=f"There is: {known}.")
        if not base.generation():
            await platform.ingest()
        result = await base.search(query_of(body, EVERYTHING))
        return SearchAnswer(hits=result.hits, generation=result.generation)
