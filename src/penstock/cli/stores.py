"""Checks of the vector databases that an app searches."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

from penstock.cli.findings import Finding, ok, warn
from penstock.errors import PenstockError

if TYPE_CHECKING:
    from penstock.config import AppFolder
    from penstock.gateway.services import Degraded

SECONDS = 5.0


def check_stores(folder: AppFolder) -> Iterator[Finding]:
    """What the server says of them, where one is running; otherwise whether somebody listens there."""
    from urllib.parse import urlsplit

    from penstock.knowledge.stores.external.opening import place_of, port_of

    degraded = {each.name: each for each in _said_by_server(folder)}
    for name, settings in folder.settings.knowledge.items():
        if settings.store is None:
            continue
        address = urlsplit(settings.store.url)
        trouble = degraded.get(f"knowledge.{name}")
        if trouble is not None:
            yield warn("Vectors", f"'{name}': {trouble.reason}", trouble.hint)
            continue
        if address.hostname is None:
            yield ok("Vectors", f"'{name}' are searched in PostgreSQL, by a socket")
            continue
        place = place_of(address)
        try:
            socket.create_connection((address.hostname, port_of(address)), SECONDS).close()
        except OSError as error:
            reason = error.strerror or str(error)
            advice = "Start it, or change url under [knowledge.NAME.store]; until then the knowledge's own file is"
            yield warn("Vectors", f"'{name}': nobody answers at {place}: {reason}", f"{advice} searched.")
        else:
            yield ok("Vectors", f"'{name}' are searched at {place}, where somebody answers")


def _said_by_server(folder: AppFolder) -> tuple[Degraded, ...]:
    """Nothing where none is running, or where it is not ready, which other checks say."""
    import msgspec

    from penstock.client import Server, running_server
    from penstock.http.health import Readiness

    server = running_server(folder)
    if server is None:
        return ()
    try:
        return msgspec.convert(Server.of(server).get("/health/ready"), Readiness).degraded
    except PenstockError:
        return ()
