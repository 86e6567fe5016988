"""Starts what a gateway is measured with and against, each as a process of its own on a free port of loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
KEY = "pst_benchmark_key_of_more_than_enough_length_0123456789abcdef"

NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port} backlog=4096;
    location / {{ default_type application/json; return 200 '{answer}'; }} }}
}}
"""

PENSTOCK = """
[app]
name = "bench"

[models.fast]
use = "acme/gpt-4.1-mini"
base_url = "{upstream}/v1"

[prices."acme/gpt-4.1-mini"]
input = 0.4
output = 1.6

[keys.bench]
key = {{ env = "BENCH_KEY" }}
role = "developer"

[[limits]]
requests = 100000000
tokens = 100000000000
window = "1m"

[[limits]]
per = "key"
usd = 1000000.0
window = "month"

[server]
port = {port}
max_in_flight = 4096
{workers}

[traces]
content = true
"""

LITELLM = """
model_list:
  - model_name: fast
    litellm_params:
      model: openai/gpt-4.1-mini
      api_base: {upstream}/v1
      api_key: none
general_settings:
  master_key: {key}
litellm_settings:
  telemetry: false
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def process(
    command: Sequence[str], port: int, folder: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A running process that listens on `port`; stopped at the end, by its own id, with what it has started."""
    with (folder / f"{port}.log").open("wb") as log:
        started = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            cwd=folder,
            env=os.environ | (environment or {}),
            start_new_session=True,
        )
    try:
        wait_for(port, started)
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGTERM)
        try:
            started.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()


def wait_for(port: int, started: subprocess.Popen[bytes], seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if started.poll() is not None:
            raise SystemExit(f"{started.args!r} ended with {started.returncode}; its log is {port}.log")
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"{started.args!r} does not listen on {port}")


@contextlib.contextmanager
def nginx(folder: Path, answer: bytes) -> Iterator[str]:
    """An upstream that answers at once."""
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(binary).exists():
        raise SystemExit("nginx is missing: apt-get install nginx-light")
    port = free_port()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, answer=answer.decode()))
    command = [binary, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    with process(command, port, folder):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def upstream(folder: Path, *options: str) -> Iterator[str]:
    """The upstream of `support/upstream.py`."""
    port = free_port()
    with process([sys.executable, str(HERE / "upstream.py"), str(port), *options], port, folder):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def passthrough(folder: Path, target: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with passthroughs(folder, target, 1) as (url, running):
        yield url, running[0]


@contextlib.contextmanager
def passthroughs(folder: Path, target: str, count: int) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """So many processes behind one port."""
    port = free_port()
    command = [sys.executable, str(HERE / "passthrough.py"), str(port), target]
    with contextlib.ExitStack() as stack:
        yield (
            f"http://127.0.0.1:{port}",
            [stack.enter_context(process(command, port, folder)) for _ in range(count)],
        )


@contextlib.contextmanager
def penstock(
    folder: Path, target: str, *, workers: int = 1, more: str = ""
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A gateway with a key, limits, a budget, the ledger and traces."""
    port = free_port()
    app = folder / f"penstock-{port}"
    app.mkdir()
    text = PENSTOCK.format(upstream=target, port=port, workers=f"workers = {workers}" if workers > 1 else "")
    (app / "penstock.toml").write_text(text + more)
    command = [str(Path(sys.executable).with_name("penstock")), "up", str(app)]
    url = f"http://127.0.0.1:{port}"
    with process(command, port, folder, {"BENCH_KEY": KEY}) as running:
        while url.encode() not in (folder / f"{port}.log").read_bytes():  # said when all workers listen
            time.sleep(0.05)
        yield url, running


@contextlib.contextmanager
def portkey(folder: Path, target: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """`npm install @portkey-ai/gateway` in the folder that $PORTKEY names."""
    port = free_port()
    script = Path(os.environ["PORTKEY"]) / "node_modules/@portkey-ai/gateway/build/start-server.js"
    with process(["node", str(script), f"--port={port}", "--headless"], port, folder) as running:
        yield f"http://127.0.0.1:{port}", running


@contextlib.contextmanager
def litellm(folder: Path, target: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """`pip install 'litellm[proxy]'` in the virtual environment that $LITELLM names."""
    port = free_port()
    (folder / "litellm.yaml").write_text(LITELLM.format(upstream=target, key=KEY))
    binary = Path(os.environ["LITELLM"]) / "bin/litellm"
    command = [str(binary), "--config", "litellm.yaml", "--port", str(port), "--host", "127.0.0.1"]
    with process(command, port, folder, {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}) as running:
        yield f"http://127.0.0.1:{port}", running
