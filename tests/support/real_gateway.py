"""`penstock up` as a process of its own, in front of a simulated provider: what any client would talk to."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import msgspec

from penstock.exchange import Role
from penstock.testing import ProviderServer, Reply
from penstock.testing.answers import Answer, Received
from penstock.testing.server import MALFORMED
from penstock.testing.simulator import simulate, unreadable

UPSTREAM_KEY = "sk-upstream-0123456789-must-not-be-seen"
SETTINGS = """
[app]
name = "docs"
mode = "quote"

[server]
request_seconds = 20
max_body_mb = 2

[cache]
enabled = true
store = "sqlite"

[[limits]]
per = "key"
requests = 1000000

[[limits]]
key = "frugal"
requests = 1
window = "1h"

[models.big]
use = "openai/gpt-4.1-mini"
base_url = "{url}/v1"
api_key = {{ env = "CONFORMANCE_KEY" }}

[models.claude]
use = "anthropic/claude-haiku-4-5"
base_url = "{url}/v1"
api_key = {{ env = "CONFORMANCE_KEY" }}

[models.gem]
use = "gemini/gemini-3-flash"
base_url = "{url}/v1beta"
api_key = {{ env = "CONFORMANCE_KEY" }}

[models.any]
use = "corp/any"
base_url = "{url}/v1"
api_key = {{ env = "CONFORMANCE_KEY" }}

[models.spread]
strategy = "least_in_flight"
[[models.spread.targets]]
use = "openai/gpt-4.1-mini"
base_url = "{url}/v1"
api_key = {{ env = "CONFORMANCE_KEY" }}
[[models.spread.targets]]
use = "azure/gpt-4.1-mini"
base_url = "{url}"
api_key = {{ env = "CONFORMANCE_KEY" }}
"""
GATE = "# The gate\n\nOne person can close the gate in forty seconds.\n\nThe weir is 84 metres long.\n"
OPERATIONS = {
    "/v1/moderations": {
        "id": "modr-1",
        "model": "omni-moderation-latest",
        "results": [{"flagged": False, "categories": {}, "category_scores": {}}],
    },
    "/v1/images/generations": {"created": 1, "data": [{"b64_json": "aGk="}]},
    "/v1/images/edits": {"created": 1, "data": [{"b64_json": "aGk="}]},
    "/v1/images/variations": {"created": 1, "data": [{"b64_json": "aGk="}]},
    "/v1/audio/transcriptions": {"text": "Close the gate."},
    "/v1/audio/translations": {"text": "Close the gate."},
    "/v1/rerank": {"id": "r-1", "results": [{"index": 0, "relevance_score": 0.5}]},
}


def behave(received: Received) -> Answer:
    """The simulator, and the operations beside text."""
    path = received.path.partition("?")[0].replace("/openai/v1/", "/v1/")
    if path in OPERATIONS:
        return Reply(body=msgspec.json.encode(OPERATIONS[path]))
    if path == "/v1/audio/speech":
        return Reply(body=b"RIFF....WAVE", headers={"content-type": "audio/wav"})
    try:
        return simulate(received)
    except MALFORMED:
        return unreadable(received)


@dataclass
class RealGateway:
    """`log` is what the server wrote to its standard error, complete once it has stopped."""

    url: str
    folder: Path
    upstream: ProviderServer
    loop: asyncio.AbstractEventLoop
    log: Path
    secrets: dict[str, str] = field(default_factory=dict)

    def make_key(self, name: str, role: Role = "developer", project: str = "local") -> str:
        """A key by the server's own route; the first one is an owner's, and ends local mode."""
        body = {"name": name, "role": role, "project_id": project}
        made = self.ask("POST", "/api/v1/keys", body, self.secrets.get("owner"))
        self.secrets[name] = made["secret"]
        return self.secrets[name]

    def on_upstream(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs something where the simulated provider runs, to its end."""
        asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def ask(self, method: str, path: str, body: object = None, key: str | None = None) -> Any:
        """The JSON of an answer; raises `HTTPError` for what is refused."""
        return msgspec.json.decode(self.send(path, body, key, method))

    def send(self, path: str, body: object = None, key: str | None = None, method: str = "POST") -> bytes:
        """The bytes of an answer; raises `HTTPError` for what is refused."""
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
        data = None if body is None else msgspec.json.encode(body)
        with urlopen(Request(self.url + path, data, headers, method=method), timeout=30) as response:
            found: bytes = response.read()
            return found


@contextmanager
def real_gateway(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[RealGateway]:
    """Starts all of it, with a small knowledge base, and stops it again. The server must stop properly."""
    with upstream_in_thread() as (upstream, loop):
        (folder / "docs").mkdir(parents=True)
        (folder / "docs" / "gate.md").write_text(GATE)
        (folder / "penstock.toml").write_text(SETTINGS.format(url=upstream.url))
        log = folder / "server.log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "penstock.cli.main", "up", str(folder), "--port", "0"],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "CONFORMANCE_KEY": UPSTREAM_KEY, **(environment or {})},
            )
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        try:
            yield RealGateway(line.split()[-1], folder, upstream, loop, log)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                code = process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            process.stdout.close()
        assert code == 0, log.read_text()


@contextmanager
def upstream_in_thread() -> Iterator[tuple[ProviderServer, asyncio.AbstractEventLoop]]:
    """A simulated provider that answers while the test's own thread waits for a client."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = ProviderServer(behave)
    try:
        asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
        yield server, loop
        asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
