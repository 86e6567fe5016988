"""The llama.cpp engine's process: its own HTTP server on a free loopback port, behind a new token."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import Any

import xllamacpp

from penstock.models.engines.gguf import tokenizer_facts
from penstock.models.engines.wire import Serving, Setup, decode_setup, encode
from penstock.process import FrameSocket

ERRORS_ONLY = 1


def main() -> None:
    sock = FrameSocket.from_argument(sys.argv[1])
    payload = sock.receive()
    assert payload is not None
    setup = decode_setup(payload)
    token = secrets.token_urlsafe(32)
    try:
        server = open_server(setup, token)
    except Exception as error:
        sys.exit(f"llama.cpp cannot run {setup.file}: {error}")
    sock.send(encode(Serving(server.listening_address, token, tokenizer_facts(Path(setup.file)))))
    try:
        while True:
            sock.receive()
    except EOFError:
        os._exit(0)


def open_server(setup: Setup, token: str) -> Any:
    """One cache for all slots, so that a request may use the whole context while its neighbours are short."""
    params = xllamacpp.CommonParams()
    params.model.path = setup.file
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [token]
    params.n_ctx = setup.cache_tokens
    params.n_parallel = setup.max_running
    params.kv_unified = True
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_Q8_0
    params.n_batch = params.n_ubatch = setup.step_tokens
    params.cache_ram_mib = 0
    params.cache_prompt = setup.prefix_cache
    params.fit_params = False
    params.endpoint_slots = False
    params.ui = False
    params.offline = True
    params.verbosity = ERRORS_ONLY
    if setup.threads:
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = setup.threads
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
