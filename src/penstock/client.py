"""The server that is already running for an app, if there is one, and how to talk to it."""

from __future__ import annotations

import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from penstock.errors import PenstockError, Unavailable

if TYPE_CHECKING:
    import ssl

    from penstock.config import AppFolder
    from penstock.exchange import Chunk, Message
    from penstock.storage.lock import RunningServer

PROBE_SECONDS = 2.0
ANSWER_SECONDS = 600.0


def running_server(folder: AppFolder) -> RunningServer | None:
    """The server that works in the app's data folder: announced there, alive, and answering for that app."""
    from penstock.storage.lock import announced_server

    server = announced_server(folder.data)
    if server is None:
        return None
    try:
        answer = Server.of(server, PROBE_SECONDS).get("/api/v1/whoami")
    except PenstockError:
        return None
    return server if isinstance(answer, dict) and answer.get("app") == folder.name else None


class Server:
    """A Penstock server's HTTP API, without proxies: it is on this machine. `token` is sent as a key."""

    def __init__(
        self, url: str, timeout: float = ANSWER_SECONDS, token: str = "", tls: ssl.SSLContext | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), *([urllib.request.HTTPSHandler(context=tls)] if tls else ())
        )

    @classmethod
    def of(cls, running: RunningServer, timeout: float = ANSWER_SECONDS) -> Server:
        """The server that works in a data folder, with the token that it left there."""
        return cls(running.url, timeout, running.token, own_certificate(running) if running.certificate else None)

    def get(self, path: str, **query: object) -> Any:
        """The JSON of a GET. Raises `PenstockError` with the server's own message."""
        return _json(self.read(path, **query), self.url + path)

    def read(self, path: str, **query: object) -> bytes:
        """The body that answers a GET, as it came."""
        given = {key: value for key, value in query.items() if value is not None}
        address = f"{self.url}{path}" + (f"?{urlencode(given)}" if given else "")
        request = urllib.request.Request(address, headers=self._headers)  # noqa: S310
        with self._open(request) as response:
            body: bytes = response.read()
            return body

    def post(self, path: str, body: object, method: str = "POST") -> Any:
        """The JSON that answers a JSON body."""
        with self._open(self._request(path, body, method)) as response:
            return _json(response.read(), self.url + path)

    def send_file(self, path: str, fields: Mapping[str, str], filename: str, data: bytes) -> Any:
        """The JSON that answers a form with one file."""
        boundary = secrets.token_hex(16)
        head = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        )
        plain = filename.replace("\\", "_").replace('"', "_")
        head += f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{plain}"\r\n\r\n'
        body = b"".join((head.encode(), data, f"\r\n--{boundary}--\r\n".encode()))
        headers = {"content-type": f"multipart/form-data; boundary={boundary}"} | self._headers
        request = urllib.request.Request(self.url + path, body, headers)  # noqa: S310
        with self._open(request) as response:
            return _json(response.read(), self.url + path)

    def stream(self, path: str, body: object) -> Iterator[dict[str, Any]]:
        """The events of a stream, until its end mark. Raises `PenstockError` for an error event."""
        with self._open(self._request(path, body)) as response:
            for line in response:
                if not line.startswith(b"data:"):
                    continue
                data = line[5:].strip()
                if data == b"[DONE]":
                    return
                event = json.loads(data)
                if "error" in event:
                    raise _error_from(event)
                yield event
        raise Unavailable("The server ended the answer before its end.", hint="Ask again.")

    def ask(self, app: str, messages: Sequence[Message]) -> RemoteAnswer:
        """Asks an app; the answer is read as it comes."""
        body = {
            "model": app,
            "stream": True,
            "stream_options": {"include_usage": True},
            "messages": [{"role": message.role, "content": message.text} for message in messages],
        }
        return RemoteAnswer(self.stream("/v1/chat/completions", body))

    def _request(self, path: str, body: object, method: str = "POST") -> urllib.request.Request:
        headers = {"content-type": "application/json"} | self._headers
        return urllib.request.Request(self.url + path, json.dumps(body).encode(), headers, method=method)  # noqa: S310

    def _open(self, request: urllib.request.Request) -> Any:
        try:
            return self._opener.open(request, timeout=self._timeout)
        except urllib.error.HTTPError as error:
            with error:
                try:
                    raise _error_from(json.loads(error.read())) from None
                except ValueError:
                    raise Unavailable(f"{self.url} answered with status {error.code}.") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise Unavailable(
                f"The server at {self.url} does not answer: {reason}.", hint="Start it again with `penstock up`."
            ) from None


def own_certificate(running: RunningServer) -> ssl.SSLContext:
    """Trusts the certificate of this machine's own server and no other, whatever the name in it is.

    Shows it, too, for a server that wants to see one. Raises `Unavailable` where its files cannot be read.
    """
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(running.certificate)
        context.load_cert_chain(running.certificate, running.key)
    except (OSError, ValueError):
        raise Unavailable(
            f"The server at {running.url} shows the certificate {running.certificate}, which cannot be read.",
            hint="Run the command as the user that runs the server.",
        ) from None
    return context


class RemoteAnswer:
    """The chunks of a streamed answer, read back from their wire form. `trace_id` is known from the first on."""

    def __init__(self, events: Iterator[dict[str, Any]]) -> None:
        self.trace_id = ""
        self._events = events

    def __iter__(self) -> Iterator[Chunk]:
        import msgspec

        from penstock.exchange import Chunk, Grounding, Usage

        for event in self._events:
            choice: dict[str, Any] = next(iter(event.get("choices") or []), {})
            grounding, usage = event.get("penstock"), event.get("usage")
            if grounding and grounding.get("trace_id"):
                self.trace_id = grounding["trace_id"]
            yield Chunk(
                text=(choice.get("delta") or {}).get("content") or "",
                finish_reason=choice.get("finish_reason"),
                grounding=msgspec.convert(grounding, Grounding) if grounding and "citations" in grounding else None,
                usage=Usage(usage["prompt_tokens"], usage["completion_tokens"]) if usage else None,
            )


def _json(data: bytes, address: str) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        raise Unavailable(
            f"{address} did not answer with JSON.", hint="Another program may have that port."
        ) from None


def _error_from(body: Any) -> PenstockError:
    error = body.get("error") if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return PenstockError(str(message or "The server answered with an error."))
