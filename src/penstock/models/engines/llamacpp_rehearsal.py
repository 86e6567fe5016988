"""The helper process of the llama.cpp engine: runs one grammar at a time and says whether it works.

Like `openvino_rehearsal`, with llama.cpp's own reader of grammars.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Any

from penstock.models.engines.gguf import write_tiny
from penstock.models.engines.llamacpp_child import open_server
from penstock.models.engines.wire import Setup
from penstock.process import FrameSocket

TOKENS = 24


def main() -> None:
    sock = FrameSocket.from_argument(sys.argv[1])
    payload = sock.receive()
    assert payload is not None
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
        file = Path(folder) / "tiny.gguf"
        write_tiny(Path(payload.decode()), file)
        server = open_server(
            Setup("tiny", str(file), 256, 256, 1, 256, TOKENS, False, 1), secrets.token_urlsafe(32)
        )
    sock.send(b"")
    try:
        while (grammar := sock.receive()) is not None:
            sock.send(rehearse(server, grammar.decode()).encode())
    except EOFError:
        os._exit(0)


def rehearse(server: Any, grammar: str) -> str:
    """What is wrong with a grammar, or nothing."""
    try:
        answer = server.handle_completions(
            {"prompt": "a", "max_tokens": TOKENS, "grammar": grammar, "temperature": 1.0, "stream": False}
        )
    except Exception as error:
        return str(error) or type(error).__name__
    problem = answer.get("error") if isinstance(answer, dict) else None
    return str(problem.get("message")) if problem else ""


if __name__ == "__main__":
    main()
