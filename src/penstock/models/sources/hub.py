"""`hf:` sources: files of a repository on a Hugging Face hub, over plain HTTP, resumed where they stopped."""

from __future__ import annotations

import http.client
import os
import re
import time
import urllib.error
import urllib.request
from typing import IO, Any
from urllib.parse import quote, urlsplit

from penstock.errors import PullFailed
from penstock.models.catalog import ModelFile
from penstock.models.sources.base import Order, check_space, safe_name
from penstock.models.sources.partial import Partial

BLOCK = 1 << 18
TIMEOUT_SECONDS = 30.0
PAUSES_SECONDS = (0.2, 1.0)
"""Before each new attempt after one that brought nothing; then the pull fails, to be resumed by the next."""
SHA256 = re.compile(r'"?([0-9a-f]{64})"?')
CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+)")


class HubSource:
    """`path` names a file of the repository, or a folder when it is empty or ends in a slash.

    The hub's address is HF_ENDPOINT; a token in HF_TOKEN goes to that host only, never to where it redirects.
    """

    def __init__(self, repo: str, path: str, revision: str) -> None:
        self._repo = repo
        self._path = path
        self._revision = revision
        self._endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")

    def __str__(self) -> str:
        return f"{self._repo}@{self._revision}"

    def stamp(self) -> str:
        return ""

    def fetch(self, order: Order) -> tuple[ModelFile, ...]:
        if self._path and not self._path.endswith("/"):
            name = safe_name(self._path.rpartition("/")[2])
            known = {file.name: file for file in order.files}
            return (self._fetch_file(self._path, known.get(name, ModelFile(name=name)), order),)
        if not order.files:
            raise PullFailed(f"hf:{self} names no file.", hint="Write hf:OWNER/REPO/FILE@REVISION.")
        return tuple(self._fetch_file(self._path + file.name, file, order) for file in order.files)

    def _fetch_file(self, path: str, file: ModelFile, order: Order) -> ModelFile:
        partial = Partial(order.work / f"{file.name}.partial")
        pauses = list(PAUSES_SECONDS)
        while True:
            before = partial.size()
            try:
                sha256 = self._download(path, file, partial, order)
                break
            except _Interrupted as interruption:
                if partial.size() > before:
                    pauses = list(PAUSES_SECONDS)
                if not pauses:
                    raise PullFailed(
                        f"{file.name} of {self} was not fetched: {interruption}.",
                        hint="Check the network, HF_ENDPOINT and the proxy settings; "
                        "the next pull goes on where this one stopped.",
                    ) from None
                time.sleep(pauses.pop(0))
        partial.complete(order.target / file.name)
        return ModelFile(name=file.name, sha256=sha256)

    def _download(self, path: str, file: ModelFile, partial: Partial, order: Order) -> str | None:
        """Brings the rest of one file; returns the sha256 that the hub claims, if it claims one."""
        request = self._request(path)
        if partial.etag():
            request.add_header("Range", f"bytes={partial.size()}-")
            request.add_header("If-Range", partial.etag())
        redirects = _Redirects()
        try:
            response = urllib.request.build_opener(redirects).open(request, timeout=TIMEOUT_SECONDS)
        except urllib.error.HTTPError as error:
            with error:
                self._judge(error, path, partial)
            return redirects.sha256
        except (OSError, http.client.HTTPException) as error:
            raise _Interrupted(_reason(error)) from error
        with response:
            start, total = _extent(response)
            if start not in (0, partial.size()):
                partial.discard()
                raise _Interrupted("the server sent another part than was asked for")
            if file.size is not None and total is not None and total != file.size:
                partial.discard()
                raise PullFailed(
                    f"{file.name} of {self} has {total:,} bytes where {file.size:,} were expected.",
                    hint="The repository has changed since this model was recorded; nothing was kept.",
                )
            check_space(order.work, (total or 0) - start)
            self._receive(response, (start, total), partial, order)
        return redirects.sha256

    def _receive(
        self, response: http.client.HTTPResponse, extent: tuple[int, int | None], partial: Partial, order: Order
    ) -> None:
        done, total = extent
        with partial.open(done, response.headers.get("ETag", "")) as sink:
            while True:
                try:
                    block = response.read(BLOCK)
                except (OSError, http.client.HTTPException) as error:
                    raise _Interrupted(_reason(error)) from error
                if not block:
                    break
                sink.write(block)
                done += len(block)
                order.report("download", partial.name, done, total)
        if total is not None and done != total:
            raise _Interrupted(f"the connection ended after {done:,} of {total:,} bytes")

    def _request(self, path: str) -> urllib.request.Request:
        url = f"{self._endpoint}/{self._repo}/resolve/{quote(self._revision, safe='')}/{quote(path)}"
        if urlsplit(url).scheme not in ("http", "https"):
            raise PullFailed(f"HF_ENDPOINT is no web address: '{self._endpoint}'.", hint="Write https://HOST.")
        request = urllib.request.Request(url, headers={"User-Agent": "penstock"})  # noqa: S310
        if token := os.environ.get("HF_TOKEN", "").strip():
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        return request

    def _judge(self, error: urllib.error.HTTPError, path: str, partial: Partial) -> None:
        """What an HTTP error means. Returns where it means that the file is already here whole."""
        if error.code == 416:
            match = CONTENT_RANGE.fullmatch(error.headers.get("Content-Range", ""))
            if match and int(match[2]) == partial.size():
                return
            partial.discard()
            raise _Interrupted("the server could not go on where the last pull stopped")
        if error.code in (401, 403):
            raise PullFailed(
                f"the hub refuses {path} of {self} (HTTP {error.code}).",
                hint="Set HF_TOKEN to a token that may read it, and accept its licence on the hub if it has one.",
            )
        if error.code == 404:
            raise PullFailed(
                f"the hub has no {path} in {self}.", hint="Check the repository, the file and the revision."
            )
        if error.code in (408, 425, 429) or error.code >= 500:
            raise _Interrupted(f"the hub answered HTTP {error.code}")
        raise PullFailed(f"the hub answered HTTP {error.code} for {path} of {self}.", hint="Check HF_ENDPOINT.")


class _Interrupted(Exception):
    """The transfer stopped for a reason that may pass."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, with the token only within the hub, and remembers the digest the hub names on the way."""

    def __init__(self) -> None:
        self.sha256: str | None = None

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if match := SHA256.fullmatch(headers.get("X-Linked-ETag", "")):
            self.sha256 = match[1]
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if new.scheme != "https" and new.scheme != old.scheme:
            raise PullFailed("the hub redirects to an address that is not secure.", hint="Check HF_ENDPOINT.")
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        token = req.unredirected_hdrs.get("Authorization")
        if request is not None and token and (old.scheme, old.netloc) == (new.scheme, new.netloc):
            request.add_unredirected_header("Authorization", token)
        return request


def _extent(response: Any) -> tuple[int, int | None]:
    """Where the body starts in the file, and the size of the whole file if it is told."""
    if response.status == 206:
        match = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        return (int(match[1]), int(match[2])) if match and match[1] else (-1, None)
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _reason(error: Exception) -> str:
    """A failure of the network in words without addresses, which may hold a proxy's password."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return "the connection timed out" if isinstance(cause, TimeoutError) else type(cause).__name__
