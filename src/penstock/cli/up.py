"""`penstock up`: from a path to a served app."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.arguments import HERE, AppPath, examples
from penstock.cli.ingestion import ingestion_bar, show_summaries
from penstock.cli.output import note, say
from penstock.cli.pulling import fetch_models

if TYPE_CHECKING:
    from penstock.config import AppFolder

EXAMPLES = examples(
    "penstock up my-docs/",
    "penstock up handbook.pdf --port 0 --open",
    "penstock up my-docs/ --model ollama/llama3.2",
    "penstock up my-docs/ --model openai/gpt-4.1-mini   (key from OPENAI_API_KEY)",
)


def up(
    path: AppPath = HERE,
    port: Annotated[
        int | None, typer.Option(metavar="PORT", min=0, max=65535, help="Where to listen; 0 takes a free port.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="PROVIDER/NAME", help="Compose answers with this model.")
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Serve an app: fetch its models, take in its documents, and answer at http://127.0.0.1:7100."""
    from penstock.access.store import is_keyed
    from penstock.cli.installation import check_before_start, local_models
    from penstock.cli.surroundings import offers
    from penstock.client import running_server
    from penstock.http.serve import listen

    folder = _load(path, port, model)
    if server := running_server(folder):
        note(f"{folder.name} is served already, at {server.url} (process {server.pid}).")
        if open_:
            _open_browser(server.url)
        return
    check_before_start(folder)
    host, port = folder.settings.server.host, folder.settings.server.port
    listen(host, port, keyed=is_keyed(folder)).close()  # better known before the long work
    fetch_models(local_models(folder))
    import uvloop

    from penstock.platform.logs import open_logs

    open_logs(folder.settings.logs)

    with contextlib.suppress(asyncio.CancelledError), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(folder, open_, tuple(offers(folder))))
    note("Stopped.")


def _load(path: Path, port: int | None, model: str | None) -> AppFolder:
    from penstock.config import load

    overrides: dict[tuple[str | int, ...], object] = {}
    if model is not None:
        overrides["models", "default"] = {"use": model}
    if port is not None:
        overrides["server", "port"] = port
    return load(path, overrides)


def _open_browser(url: str) -> None:
    import webbrowser

    if not webbrowser.open(url):
        note(f"No browser was found; open {url} yourself.")


async def _serve(folder: AppFolder, open_: bool, offered: tuple[str, ...]) -> None:
    """Serves until it is told to stop; SIGTERM stops it in order before it listens, too."""
    from penstock.access.store import is_keyed
    from penstock.platform import Platform
    from penstock.platform.workers.supervisor import Supervisor

    serving = asyncio.current_task()
    assert serving is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)

    def on_listening(url: str) -> None:
        _show_address(folder, url, offered, keyed=is_keyed(folder))
        if open_:
            _open_browser(url)

    if folder.settings.server.workers > 1:
        async with Supervisor.open(folder) as supervisor:
            await supervisor.serve(on_listening)
        return
    async with Platform.open(folder) as platform:
        with ingestion_bar() as draw:
            summaries = await platform.ingest(draw)
        show_summaries(summaries)
        await platform.serve(on_listening)


def _show_address(folder: AppFolder, url: str, offered: tuple[str, ...], *, keyed: bool) -> None:
    """Where it is served and how to call it; the first line alone goes to standard output."""
    say("Serving ", (folder.name, "bold"), " at ", (url, "bold underline"))
    note()
    note(("  In a browser  ", "cyan"), url)
    note(("  From Python   ", "cyan"), "from openai import OpenAI")
    key = "pst_…" if keyed else "local"
    note(f'                client = OpenAI(base_url="{url}/v1", api_key="{key}")')
    note("                client.chat.completions.create(")
    is_gateway = not folder.settings.knowledge
    model = next(iter(folder.settings.models)) if is_gateway else folder.name
    note(f'                    model="{model}", messages=[{{"role": "user", "content": "…"}}])')
    place = shlex.quote(str(folder.source_root))
    if is_gateway:
        note(("  For others    ", "cyan"), f"penstock keys create {place} --name …")
    else:
        note(("  Elsewhere     ", "cyan"), f'penstock ask {place} "…"')
    note()
    if keyed:
        note(("Every request needs a key: `penstock keys create` makes one. Ctrl-C stops.", "dim"))
    else:
        note(("Only this machine can connect, and no key is asked for. Ctrl-C stops.", "dim"))
    for offer in offered:
        note((offer, "dim"))
