"""A small OpenID Connect issuer on loopback, which behaves well until a test tells it not to."""

import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlencode

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

SECRET = "the secret of the client"
CLIENT = "penstock"
Mutation = Callable[[dict[str, Any]], None]


class SigningKey:
    """`kid` as it is listed, and how it signs."""

    def __init__(self, kid: str, algorithm: str = "RS256") -> None:
        self.kid, self.algorithm = kid, algorithm
        if algorithm == "RS256":
            self.private: Any = rsa.generate_private_key(65537, 2048)
        elif algorithm == "ES256":
            self.private = ec.generate_private_key(ec.SECP256R1())
        else:
            self.private = ed25519.Ed25519PrivateKey.generate()

    def jwk(self) -> dict[str, Any]:
        public = get_default_algorithms()[self.algorithm].to_jwk(self.private.public_key(), as_dict=True)
        return {**public, "kid": self.kid, "use": "sig"}

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        return jwt.encode(claims, self.private, self.algorithm, headers={"kid": self.kid, **header})


class OidcIssuer:
    """`claims` go into each token. `change_claims`, `make_token` and `document` are how a test misbehaves.

    It checks what an issuer must: the client's secret, the redirect address, the challenge, and that a code is used
    once. `asked` counts requests by path.
    """

    def __init__(self) -> None:
        self.url = ""
        self.key = SigningKey("first")
        self.listed = [self.key.jwk()]
        self.claims: dict[str, Any] = {
            "sub": "ada-1",
            "email": "ada@example.com",
            "email_verified": True,
            "groups": ["staff"],
        }
        self.change_claims: Mutation = lambda claims: None
        self.make_token: Callable[[dict[str, Any]], str] = lambda claims: self.key.sign(claims)
        self.document: dict[str, Any] = {}
        self.refuse = ""
        self.redirects: set[str] = set()
        self.asked: dict[str, int] = {}
        self._codes: dict[str, dict[str, str]] = {}

    async def discovery(self, request: web.Request) -> web.Response:
        self._count(request)
        found = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
        }
        return web.json_response(found | self.document)

    async def keys(self, request: web.Request) -> web.Response:
        self._count(request)
        return web.json_response({"keys": self.listed})

    async def authorize(self, request: web.Request) -> web.Response:
        self._count(request)
        query = dict(request.query)
        if query["redirect_uri"] not in self.redirects or query["client_id"] != CLIENT:
            return web.Response(status=400, text="unknown client or redirect address")
        assert query["response_type"] == "code" and query["code_challenge_method"] == "S256"
        if self.refuse:
            back = {"error": self.refuse, "state": query["state"]}
        else:
            code = f"code-{len(self._codes)}-{time.monotonic_ns()}"
            self._codes[code] = query
            back = {"code": code, "state": query["state"]}
        raise web.HTTPFound(f"{query['redirect_uri']}?{urlencode(back)}")

    async def token(self, request: web.Request) -> web.Response:
        self._count(request)
        form = {name: values[0] for name, values in parse_qs(await request.text()).items()}
        proof = base64.b64encode(f"{CLIENT}:{SECRET.replace(' ', '+')}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {proof}":
            return web.json_response({"error": "invalid_client"}, status=401)
        query = self._codes.pop(form["code"], None)
        challenge = hashlib.sha256(form["code_verifier"].encode()).digest()
        right = (
            query is not None
            and query["redirect_uri"] == form["redirect_uri"]
            and query["code_challenge"] == base64.urlsafe_b64encode(challenge).rstrip(b"=").decode()
        )
        if not right or query is None:
            return web.json_response({"error": "invalid_grant"}, status=400)
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": query["nonce"]}
        claims |= self.claims
        self.change_claims(claims)
        return web.json_response({"access_token": "x", "token_type": "Bearer", "id_token": self.make_token(claims)})

    def rotate(self, key: SigningKey) -> None:
        self.key, self.listed = key, [key.jwk()]

    def _count(self, request: web.Request) -> None:
        self.asked[request.path] = self.asked.get(request.path, 0) + 1


def unsigned(claims: dict[str, Any]) -> str:
    """A token with the algorithm `none`."""
    return ".".join(piece(each) for each in ({"alg": "none", "kid": "first"}, claims)) + "."


def hmac_signed(claims: dict[str, Any], secret: bytes) -> str:
    """A token signed with HS256 over any bytes, as libraries refuse to do with a public key."""
    import hmac

    signed = ".".join(piece(each) for each in ({"alg": "HS256", "kid": "first"}, claims))
    digest = hmac.digest(secret, signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def piece(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@asynccontextmanager
async def oidc_issuer(host: str = "127.0.0.1") -> AsyncIterator[OidcIssuer]:
    issuer = OidcIssuer()
    app = web.Application()
    app.add_routes(
        [
            web.get("/.well-known/openid-configuration", issuer.discovery),
            web.get("/keys", issuer.keys),
            web.get("/authorize", issuer.authorize),
            web.post("/token", issuer.token),
        ]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server = site._server
    assert server is not None
    issuer.url = f"http://{host}:{server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    yield issuer
    await runner.cleanup()
