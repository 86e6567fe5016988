"""Checks of one app: its configuration, models, keys, data folder and port, and whether its engines start."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from penstock.cli.config import verify
from penstock.cli.findings import Finding, fail, ok, skip, warn
from penstock.cli.output import count
from penstock.cli.stores import check_stores
from penstock.errors import PenstockError

if TYPE_CHECKING:
    from penstock.config import AppFolder
    from penstock.config.models import TargetSettings
    from penstock.knowledge.values import Sources


def check_before_start(folder: AppFolder) -> None:
    """Raises `ConfigError` for what would only be found after models were fetched and started."""
    from penstock.knowledge.sources.folder import list_folder, nothing_to_read

    verify(folder)
    if folder.data.exists():
        return  # it has been started before, and files may have been dropped in since
    for name, settings in folder.settings.knowledge.items():
        if settings.elsewhere or not settings.sources:
            continue
        sources = sources_of(folder, name)
        listing = list_folder(sources)
        if not listing.items and not listing.unlisted:
            raise nothing_to_read(sources, listing)


def check_app(folder: AppFolder, quick: bool) -> Iterator[Finding]:
    """All of them; `quick` leaves out those that start engines and read models again."""
    yield check_configuration(folder)
    yield from check_keys(folder)
    yield from check_documents(folder)
    yield from check_stores(folder)
    yield from check_calibration(folder)
    yield check_data(folder)
    yield check_port(folder)
    ready = True
    for name in local_models(folder):
        finding = check_model(name, quick)
        ready &= finding.state == "ok"
        yield finding
    if quick or not ready:
        yield skip("Engines", "not started" + ("" if quick else ", because a model is missing"))
        return
    yield from check_engines(folder)


def check_configuration(folder: AppFolder) -> Finding:
    try:
        verify(folder)
    except PenstockError as error:
        return fail("Configuration", error.message, error.hint)
    if folder.file:
        return ok("Configuration", f"{folder.file}, app '{folder.name}'")
    return ok("Configuration", f"no penstock.toml, so the defaults, app '{folder.name}'")


def check_keys(folder: AppFolder) -> Iterator[Finding]:
    """Whether the keys of remote models are in the environment; nothing is sent anywhere."""
    from penstock.models.providers.speaking import auth_of
    from penstock.models.providers.vendors import remote_of

    for name, model in each_target(folder):
        if not model.remote:
            continue
        try:
            settings = remote_of(model)
            secrets = auth_of(settings).secrets
        except PenstockError as error:
            yield fail("Key", f"models.{name}: {error.message}", error.hint)
            continue
        if not secrets:
            yield ok("Key", f"models.{name}: {settings.vendor.title} at {settings.base_url} needs none")
            continue
        key = model.token or settings.api_key
        variable = key.env if key else "AWS_ACCESS_KEY_ID"
        yield ok("Key", f"models.{name}: {variable} is set, for {settings.base_url}")


def check_documents(folder: AppFolder) -> Iterator[Finding]:
    """How many files each knowledge would take in; none is opened."""
    from penstock.knowledge.sources.folder import list_folder, nothing_to_read

    for name, settings in folder.settings.knowledge.items():
        if settings.elsewhere:
            yield ok("Documents", f"'{name}' takes them from {', '.join(settings.elsewhere)}")
        if not settings.sources:
            continue
        sources = sources_of(folder, name)
        try:
            listing = list_folder(sources)
            if not listing.items and not settings.elsewhere:
                raise nothing_to_read(sources, listing)
        except PenstockError as error:
            yield fail("Documents", error.message, error.hint)
            continue
        detail = f"{count(len(listing.items), 'file')} in '{name}'"
        if listing.unlisted:
            folders = ", ".join(folder or "." for folder in listing.unlisted[:3])
            yield warn(
                "Documents", f"{detail}; not readable: {folders}", "Change the permissions of these folders."
            )
        elif listing.problems:
            first = listing.problems[0]
            yield ok(
                "Documents", f"{detail}; {count(len(listing.problems), 'other')} left out, such as {first.path}"
            )
        else:
            yield ok("Documents", detail)


def sources_of(folder: AppFolder, name: str) -> Sources:
    from penstock.knowledge.values import Sources

    return Sources(folder.source_root, folder.settings.knowledge[name].sources, folder.excludes(name))


def check_calibration(folder: AppFolder) -> Iterator[Finding]:
    """Whether what was fitted on an app's questions is of the depth at which it answers."""
    from penstock.knowledge.answer import AnswerSettings
    from penstock.knowledge.calibrating import read_calibration

    passages = AnswerSettings(passages=folder.settings.app.passages).ranked
    for name in folder.settings.knowledge:
        try:
            made = read_calibration(folder.data, name)
        except PenstockError as error:
            yield fail("Calibration", error.message, error.hint)
            continue
        if made is None:
            continue
        detail = f"of '{name}', fitted on the best {made.passages} passages"
        if made.passages == passages:
            yield ok("Calibration", detail)
        else:
            yield warn(
                "Calibration", f"{detail}; the app looks at {passages}", "Run `penstock knowledge calibrate` again."
            )


def check_data(folder: AppFolder) -> Finding:
    from penstock.client import running_server
    from penstock.storage.lock import FolderLock

    if not folder.data.exists():
        return ok("Data", f"{folder.data} will be made")
    if server := running_server(folder):
        return ok("Data", f"{folder.data}, used by the server at {server.url} (process {server.pid})")
    try:
        with FolderLock(folder.data):
            return ok("Data", str(folder.data))
    except PenstockError as error:
        return fail("Data", error.message, error.hint)


def check_port(folder: AppFolder) -> Finding:
    from penstock.access.store import is_keyed
    from penstock.client import running_server
    from penstock.http.serve import listen

    host, port = folder.settings.server.host, folder.settings.server.port
    if server := running_server(folder):
        return ok("Port", f"this app is served at {server.url}")
    try:
        listen(host, port, keyed=is_keyed(folder)).close()
    except PenstockError as error:
        return fail("Port", error.message, error.hint)
    return ok("Port", f"{host}:{port} is free")


def each_target(folder: AppFolder) -> Iterator[tuple[str, TargetSettings]]:
    """Every target of every model, with the model's name."""
    for name, model in folder.settings.models.items():
        for target in model.backends:
            yield name, target


def models_to_answer(folder: AppFolder) -> list[str]:
    """The models that one answer of the app needs: an app that quotes needs no language model."""
    from penstock.platform import answering_models

    settings = folder.settings
    names = pulled_embedders(folder)
    for name in answering_models(settings):
        names += [target.use for target in settings.models[name].backends if not target.remote]
    return list(dict.fromkeys(names))


def local_models(folder: AppFolder) -> list[str]:
    """Every model that must be on this machine, embedders first."""
    names = pulled_embedders(folder)
    names += [target.use for _, target in each_target(folder) if not target.remote]
    return list(dict.fromkeys(names))


def pulled_embedders(folder: AppFolder) -> list[str]:
    """The models that the embedders of the knowledge need on this machine."""
    settings = folder.settings
    used = (settings.embedder(knowledge.embedder).pulled for knowledge in settings.knowledge.values())
    return [name for name in used if name]


def check_model(name: str, quick: bool) -> Finding:
    from penstock.models.catalog import lookup
    from penstock.models.pull import installed, verify
    from penstock.models.sources.address import is_address

    if is_address(name):
        return skip("Model", f"{name} is not of the catalog; it is fetched when it is used")
    try:
        folder = installed(lookup(name))
        if folder is None:
            return warn("Model", f"{name} is not here yet", f"Fetch it: `penstock pull {name}`.")
        if not quick:
            verify(folder)
    except PenstockError as error:
        return fail("Model", error.message, error.hint)
    return ok("Model", f"{name} is here{'' if quick else ' and whole'}, {folder}")


def check_engines(folder: AppFolder) -> Iterator[Finding]:
    """Starts each engine and encoder once and lets it work a little."""
    for embedder in dict.fromkeys(knowledge.embedder for knowledge in folder.settings.knowledge.values()):
        yield asyncio.run(_try_encoder(folder, embedder))
    for name, model in each_target(folder):
        if not model.remote:
            yield asyncio.run(_try_engine(name, model))


async def _try_encoder(folder: AppFolder, name: str) -> Finding:
    from penstock.models.reading import open_embedder

    started = time.monotonic()
    wanted = folder.settings.embedder(name)
    try:
        encoder = await open_embedder(name, wanted, folder.root, lambda progress: None)
        try:
            vectors = (await encoder.embed(["A penstock brings water to a turbine."])).vectors
        finally:
            await encoder.close()
    except PenstockError as error:
        return fail(
            "Encoder", f"{name}: {error.message}", error.hint or f"Pull it again: `penstock pull {wanted.pulled}`."
        )
    seconds = time.monotonic() - started
    return ok("Encoder", f"{name} started and answered in {seconds:.1f} s, {vectors.shape[1]} dimensions")


async def _try_engine(name: str, model: TargetSettings) -> Finding:
    from penstock.exchange import Exchange, Message, Parameters
    from penstock.ids import new_id, new_trace_id
    from penstock.models.local import local_engine

    exchange = Exchange(
        id=new_id("req"),
        trace_id=new_trace_id(),
        purpose="system",
        messages=(Message("user", "Say yes."),),
        parameters=Parameters(max_tokens=4),
    )
    started = time.monotonic()
    engine = local_engine(name, model, lambda progress: None)
    try:
        async for _ in engine.answer(exchange):
            pass
    except PenstockError as error:
        return fail("Engine", f"models.{name}: {error.message}", error.hint or "Run `penstock --debug doctor`.")
    finally:
        await engine.close()
    seconds = time.monotonic() - started
    return ok("Engine", f"models.{name}: {model.use} on {model.engine} started and answered in {seconds:.1f} s")
