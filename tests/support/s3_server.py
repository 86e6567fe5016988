"""A bucket on loopback that answers as S3 does: pages of a listing, signatures checked, errors in XML.

The signature is worked out here once more, from the specification and without the code that it is to check.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from aiohttp import web

from support.loopback import serving

KEY, SECRET = "AKIDTEST", "secret/of+the/test"
REGION = "eu-central-1"


class Bucket:
    """`objects` by key; `fails` are statuses by how many listings were asked for before; all `asked` paths.

    What is `broken` breaks off, and what is `stuck` says the same next page each time."""

    def __init__(self, name: str, page: int) -> None:
        self.name = name
        self.page = page
        self.objects: dict[str, bytes] = {}
        self.frozen: set[str] = set()
        self.fails: dict[int, int] = {}
        self.listings = 0
        self.asked: list[str] = []
        self.url = ""
        self.broken = False
        self.stuck = False

    async def answer(self, request: web.Request) -> web.Response:
        raw = request.raw_path
        self.asked.append(raw)
        if not signed_well(request):
            return error(403, "SignatureDoesNotMatch")
        path, _, _ = raw.partition("?")
        if path == f"/{self.name}/" and request.query.get("list-type") == "2":
            return self._list(request)
        data = self.objects.get(unquote(path.removeprefix(f"/{self.name}/")))
        return error(404, "NoSuchKey") if data is None else web.Response(body=data)

    def _list(self, request: web.Request) -> web.Response:
        number, self.listings = self.listings, self.listings + 1
        if number in self.fails:
            return error(self.fails[number], "InternalError")
        prefix, after = request.query.get("prefix", ""), request.query.get("continuation-token", "")
        keys = sorted(key for key in self.objects if key.startswith(prefix) and (self.stuck or key > after))
        shown, more = keys[: self.page], len(keys) > self.page
        contents = "".join(self._entry(key) for key in shown)
        token = f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>" if more else ""
        body = (
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<EncodingType>url</EncodingType><IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}"
            "</ListBucketResult>"
        )
        return web.Response(text=body[: len(body) // 2] if self.broken else body, content_type="application/xml")

    def _entry(self, key: str) -> str:
        data = self.objects[key]
        storage = "GLACIER" if key in self.frozen else "STANDARD"
        return (
            f"<Contents><Key>{quote(key)}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>"
            f"<ETag>&quot;{hashlib.md5(data).hexdigest()}&quot;</ETag><Size>{len(data)}</Size>"
            f"<StorageClass>{storage}</StorageClass></Contents>"
        )


def error(status: int, code: str) -> web.Response:
    return web.Response(status=status, text=f"<Error><Code>{code}</Code></Error>", content_type="application/xml")


def signed_well(request: web.Request) -> bool:
    """Whether the Authorization header is what the key signs the request with."""
    algorithm, _, rest = request.headers.get("Authorization", "").partition(" ")
    fields = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
    if algorithm != "AWS4-HMAC-SHA256" or "Signature" not in fields:
        return False
    key_id, day, region, service, _ = fields["Credential"].split("/")
    path, _, query = request.raw_path.partition("?")
    names = fields["SignedHeaders"].split(";")
    if not {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names):
        return False
    headers = "".join(f"{name}:{request.headers[name].strip()}\n" for name in names)
    digest = request.headers["x-amz-content-sha256"]
    canonical = "\n".join(
        [request.method, path, "&".join(sorted(query.split("&"))), headers, ";".join(names), digest]
    )
    scope = f"{day}/{region}/{service}/aws4_request"
    text = "\n".join(
        [algorithm, request.headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    key = f"AWS4{SECRET}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    wanted = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return (key_id, region, service, wanted) == (KEY, REGION, "s3", fields["Signature"])


@asynccontextmanager
async def bucket(name: str = "reports", page: int = 3) -> AsyncIterator[Bucket]:
    served = Bucket(name, page)
    async with serving(served.answer) as served.url:
        yield served
