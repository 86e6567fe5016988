"""Enough of Pinecone's data plane on loopback to test against: its answers are those of the documented API."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import numpy as np

COMPARISONS = {
    "$gt": lambda own, value: own > value,
    "$gte": lambda own, value: own >= value,
    "$lt": lambda own, value: own < value,
    "$lte": lambda own, value: own <= value,
}


class PineconeServer:
    """Runs from entry to exit; `key` is the one that it asks for."""

    key = "pc-test-key"

    def __init__(self) -> None:
        self.namespaces: dict[str, dict[str, dict[str, Any]]] = {}
        self.lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                self._answer(parts.path, parse_qs(parts.query))

            def do_POST(self) -> None:
                self._answer(self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def _answer(self, path: str, asked: dict[str, Any]) -> None:
                if self.headers.get("Api-Key") != server.key:
                    status, body = 401, {"code": 16, "message": "Invalid API Key"}
                else:
                    with server.lock:
                        status, body = server.answer(path, asked)
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"pinecone://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def answer(self, path: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        name = asked.get("namespace", "")
        name = name[0] if isinstance(name, list) else name
        if path == "/vectors/upsert":
            points = self.namespaces.setdefault(name, {})
            points.update({each["id"]: each for each in asked["vectors"]})
            return 200, {"upsertedCount": len(asked["vectors"])}
        points = self.namespaces.get(name, {})
        match path:
            case "/query":
                return 200, {"namespace": name, "matches": query(points, asked), "usage": {"readUnits": 1}}
            case "/vectors/fetch":
                found = {id: points[id] for id in asked["ids"] if id in points}
                return 200, {"namespace": name, "vectors": found, "usage": {"readUnits": 1}}
            case "/vectors/list":
                first = int(asked.get("paginationToken", ["0"])[0])
                ids = sorted(points)[first : first + 100]
                page = {"pagination": {"next": str(first + 100)}} if first + 100 < len(points) else {}
                return 200, {"namespace": name, "vectors": [{"id": id} for id in ids], **page}
            case "/vectors/update":
                if asked["id"] in points:
                    points[asked["id"]]["metadata"].update(asked["setMetadata"])
                return 200, {}
            case "/vectors/delete":
                if asked.get("deleteAll"):
                    if name not in self.namespaces:
                        return 404, {"code": 5, "message": "Namespace not found", "details": []}
                    del self.namespaces[name]
                for id in asked.get("ids", ()):
                    points.pop(id, None)
                return 200, {}
        return 404, {"code": 5, "message": f"no such path: {path}"}


def query(points: dict[str, dict[str, Any]], asked: dict[str, Any]) -> list[dict[str, Any]]:
    vector = np.array(asked["vector"])
    kept = [point for point in points.values() if passes(asked.get("filter") or {}, point["metadata"])]
    scored = sorted(((float(np.dot(point["values"], vector)), point) for point in kept), key=lambda each: -each[0])
    return [
        {"id": point["id"], "score": score, "values": [], "metadata": point["metadata"]}
        for score, point in scored[: asked["topK"]]
    ]


def passes(filter: dict[str, Any], metadata: dict[str, Any]) -> bool:
    for name, wanted in filter.items():
        if name == "$and":
            passed = all(passes(each, metadata) for each in wanted)
        elif name == "$or":
            passed = any(passes(each, metadata) for each in wanted)
        else:
            ((operator, value),) = wanted.items()
            own = metadata.get(name)
            members = own if isinstance(own, list) else [own]
            if operator in ("$in", "$nin"):
                passed = (operator == "$in") is any(member in value for member in members)
            else:
                passed = isinstance(own, int | float) and COMPARISONS[operator](own, value)
        if not passed:
            return False
    return True
