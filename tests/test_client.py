"""Talking to a server: who it is, and what it says when it fails."""

import json
import os
from pathlib import Path

import pytest
from support.canned import Answers, serving

from penstock.client import Server, running_server
from penstock.config import load
from penstock.errors import PenstockError, Unavailable
from penstock.storage.lock import FolderLock


def serves(name: str) -> Answers:
    return {"/api/v1/whoami": (200, json.dumps({"app": name}).encode())}


def test_a_server_is_believed_when_it_answers_for_the_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    app = load(tmp_path)
    app.make_data_folder()
    with FolderLock(app.data) as lock:
        for answers, believed in (
            (serves(app.name), True),
            (serves("another"), False),
            ({"/api/v1/whoami": (200, b"<html>")}, False),
            ({"/api/v1/whoami": (200, b"[]")}, False),
            ({"/api/v1/whoami": (200, b'{"name": 1}')}, False),
            ({}, False),
        ):
            with serving(answers) as url:
                lock.announce(url)
                server = running_server(app)
            assert (server is not None) == believed, answers
            if server:
                assert (server.url, server.pid) == (url, os.getpid())
        assert running_server(app) is None  # nobody listens there any more


def test_the_server_s_own_message_is_shown() -> None:
    error = json.dumps({"error": {"message": "Too many requests. Try again.", "code": "overloaded"}}).encode()
    with serving({"/a": (429, error), "/b": (500, b"<h1>"), "/c": (500, b'{"error": "x"}')}) as url:
        server = Server(url)
        for call in (
            lambda: server.get("/a"),
            lambda: server.post("/a", {}),
            lambda: list(server.stream("/a", {})),
        ):
            with pytest.raises(PenstockError, match=r"^Too many requests\. Try again\.$"):
                call()
        with pytest.raises(Unavailable, match="status 500"):
            server.get("/b")
        with pytest.raises(PenstockError, match="answered with an error"):
            server.get("/c")
    with pytest.raises(Unavailable, match=r"does not answer.*penstock up"):
        server.get("/a")


def test_a_stream_is_read_to_its_end_mark_and_no_less() -> None:
    whole = b': hello\n\ndata: {"a": 1}\n\nevent: x\ndata: {"a": 2}\n\ndata: [DONE]\n\ndata: {"a": 3}\n\n'
    cut = b'data: {"a": 1}\n\n'
    failed = cut + b'data: {"error": {"message": "The engine stopped."}}\n\n'
    with serving({"/whole": (200, whole), "/cut": (200, cut), "/failed": (200, failed)}) as url:
        server = Server(url)
        assert list(server.stream("/whole", {})) == [{"a": 1}, {"a": 2}]
        with pytest.raises(Unavailable, match="before its end"):
            list(server.stream("/cut", {}))
        with pytest.raises(PenstockError, match="The engine stopped"):
            list(server.stream("/failed", {}))
