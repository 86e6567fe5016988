"""Signing in with an account: the whole way, and every way in that must stay closed."""

import html
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.keyed_site import Answer, KeyedSite, keyed_site
from support.oidc_issuer import CLIENT, SECRET, OidcIssuer, SigningKey, hmac_signed, oidc_issuer, unsigned

from penstock.audit.record import AuditFilter
from penstock.config.oidc import OidcSettings

PAGE = {"accept": "text/html"}
CALLBACK = "/signin/oidc/callback"


@pytest_asyncio.fixture
async def issuer() -> AsyncIterator[OidcIssuer]:
    async with oidc_issuer() as it:
        yield it


@pytest_asyncio.fixture
async def it(tmp_path: Path, issuer: OidcIssuer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KeyedSite]:
    monkeypatch.setenv("OIDC_SECRET", SECRET)
    async with keyed_site(tmp_path) as site:
        issuer.redirects.add(site.url + CALLBACK)
        trust(site, issuer)
        yield site


def trust(it: KeyedSite, trusted: OidcIssuer, **more: Any) -> None:
    rules = [
        {"claim": "groups", "values": ["platform"], "role": "owner"},
        {"claim": "realm.roles", "values": ["b"], "role": "admin", "project": "team-b"},
        {"claim": "groups", "values": ["staff"], "role": "viewer"},
    ]
    table = {"issuer": trusted.url, "client_id": CLIENT, "client_secret": {"env": "OIDC_SECRET"}, "roles": rules}
    it.access.trust(OidcSettings.model_validate(table | more))


class Browser:
    """Follows links as a browser does, with the cookies of the site."""

    def __init__(self, it: KeyedSite) -> None:
        self.it = it
        self.cookies: dict[str, str] = {}

    async def get(self, path: str, **headers: str) -> Answer:
        cookie = {"cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        answer = await self.it.ask("GET", path, headers=PAGE | (cookie if self.cookies else {}) | headers)
        for line in answer.headers.getall("set-cookie", []):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value.strip('"')
            if "Max-Age=0" in line:
                del self.cookies[name]
        return answer

    async def leave(self, to: str = "") -> str:
        """Begins; the issuer's address that the browser is sent to."""
        answer = await self.get(f"/signin/oidc?{urlencode({'to': to})}")
        assert answer.status == 303, answer.body
        return str(answer.headers["location"])

    async def at_issuer(self, address: str) -> str:
        """What the issuer leads back to, as a path of the site."""
        async with self.it.session.get(address, allow_redirects=False) as response:
            assert response.status == 302, await response.text()
            back = urlsplit(response.headers["location"])
            return f"{back.path}?{back.query}"

    async def sign_in(self, to: str = "") -> Answer:
        return await self.get(await self.at_issuer(await self.leave(to)))


async def refused(it: KeyedSite, why: str, status: int = 401) -> None:
    """Signing in ends with this sentence, without a session, and is on record."""
    browser = Browser(it)
    answer = await browser.sign_in()
    assert answer.status == status, answer.body
    assert why in html.unescape(answer.body)
    assert browser.cookies == {}
    assert (await it.access.audit.list(AuditFilter(project_id=None)))[0].action == "signin.failed"


async def test_from_the_page_to_the_issuer_and_back(it: KeyedSite) -> None:
    browser = Browser(it)
    away = await browser.get("/traces?status=error")
    page = await browser.get(away.headers["location"])
    link = re.search(r'href="(/signin/oidc\?[^"]+)"', page.body)
    assert link and "Sign in with your organisation" in page.body
    left = await browser.get(html.unescape(link[1]))
    cookie = left.headers["set-cookie"]
    assert "SameSite=lax" in cookie and "HttpOnly" in cookie
    assert SECRET not in left.headers["location"] + cookie
    back = await browser.get(await browser.at_issuer(left.headers["location"]))
    assert back.status == 200 and 'content="0;url=/traces?status=error"' in back.body
    assert list(browser.cookies) == ["penstock_session"], "that of the attempt is gone"
    shown = await browser.get("/traces?status=error")
    assert "Signed in as <strong>ada@example.com</strong>: viewer of project local" in shown.body
    who = (await browser.get("/api/v1/whoami")).json
    assert (who["name"], who["role"], who["project_id"]) == ("ada@example.com", "viewer", "local")
    record = (await it.access.audit.list(AuditFilter(project_id=None)))[0]
    assert (record.action, record.actor, record.key_id) == ("signin", "ada@example.com", who["key_id"])


async def test_with_an_issuer_nobody_comes_in_without_an_account_or_a_key(it: KeyedSite) -> None:
    assert (await it.ask("GET", "/api/v1/traces")).status == 401


async def test_signing_out(it: KeyedSite) -> None:
    browser = Browser(it)
    await browser.sign_in()
    cookie = {"cookie": f"penstock_session={browser.cookies['penstock_session']}", "origin": it.url}
    out = await it.ask("POST", "/signout", headers=cookie, data={"x": "1"})
    assert out.headers["location"] == "/signin"
    assert (await browser.get("/api/v1/whoami", accept="*/*")).status == 401


@pytest.mark.parametrize(
    ("claims", "role", "project"),
    [
        ({"groups": ["staff", "platform"]}, "owner", "local"),
        ({"groups": "staff"}, "viewer", "local"),
        ({"groups": [], "realm": {"roles": ["a", "b"]}}, "admin", "team-b"),
        ({"groups": ["staff"], "realm.roles": ["b"]}, "admin", "team-b"),
    ],
)
async def test_the_first_rule_that_fits_gives_the_role(
    it: KeyedSite, issuer: OidcIssuer, claims: dict[str, Any], role: str, project: str
) -> None:
    issuer.claims |= claims
    browser = Browser(it)
    assert (await browser.sign_in()).status == 200
    who = (await browser.get("/api/v1/whoami")).json
    assert (who["role"], who["project_id"]) == (role, project)


async def test_the_groups_that_the_issuer_names(it: KeyedSite, issuer: OidcIssuer) -> None:
    issuer.claims |= {"groups": ["staff", "hr", "hr", " ", 7]}
    await (nobody := Browser(it)).sign_in()
    assert (await nobody.get("/api/v1/whoami")).json["groups"] == [], "no claim is configured"
    trust(it, issuer, groups="groups")
    await (browser := Browser(it)).sign_in()
    assert (await browser.get("/api/v1/whoami")).json["groups"] == ["staff", "hr"]


@pytest.mark.parametrize("groups", [["guests"], None, {"staff": True}, [["staff"]], "staffing"])
async def test_whom_no_rule_fits_does_not_come_in(it: KeyedSite, issuer: OidcIssuer, groups: Any) -> None:
    issuer.claims["groups"] = groups
    await refused(it, "ada@example.com has no role on this server", 403)


async def test_addresses_must_be_verified_and_listed(it: KeyedSite, issuer: OidcIssuer) -> None:
    trust(it, issuer, domains=["example.com"], emails=["bob@other.example"])
    assert (await Browser(it).sign_in()).status == 200
    issuer.claims["email"] = "BOB@other.example"
    assert (await Browser(it).sign_in()).status == 200
    issuer.claims["email"] = "eve@example.com.evil.example"
    await refused(it, "not among those who may sign in", 403)
    issuer.claims |= {"email": "eve@example.com", "email_verified": "true"}
    await refused(it, "does not say that it has verified", 403)


async def test_a_role_in_a_project_that_is_not_there(it: KeyedSite, issuer: OidcIssuer) -> None:
    trust(it, issuer, roles=[{"claim": "groups", "values": ["staff"], "role": "viewer", "project": "team-x"}])
    await refused(it, "there is no such project", 403)


def public_pem(issuer: OidcIssuer) -> bytes:
    public = issuer.key.private.public_key()
    return bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"aud": "another"}, "it is for another client"),
        ({"aud": ["another"]}, "it is for another client"),
        ({"aud": [CLIENT, "another"]}, "it was given to another client"),
        ({"aud": [CLIENT, "another"], "azp": "another"}, "it was given to another client"),
        ({"azp": "another"}, "it was given to another client"),
        ({"iss": "https://evil.example"}, "it is another issuer's"),
        ({"nonce": "x" * 43}, "it is of another attempt to sign in"),
        ({"nonce": None}, "it is of another attempt to sign in"),
        ({"exp": 1_700_000_000}, "it has expired"),
        ({"exp": None}, "it lacks a claim"),
        ({"nbf": 4_000_000_000}, "it is not valid yet"),
        ({"iat": 4_000_000_000}, "it is not valid yet"),
        ({"sub": None}, "it lacks a claim"),
    ],
)
async def test_claims_that_are_not_for_this(
    it: KeyedSite, issuer: OidcIssuer, change: dict[str, Any], why: str
) -> None:
    def apply(claims: dict[str, Any]) -> None:
        claims |= change
        for name in [name for name, value in claims.items() if value is None]:
            del claims[name]

    issuer.change_claims = apply
    await refused(it, f"ID token is refused: {why}")


async def test_the_algorithm_is_the_key_s(it: KeyedSite, issuer: OidcIssuer) -> None:
    issuer.make_token = unsigned
    await refused(it, "signed in another way than its key is for")
    issuer.make_token = lambda claims: hmac_signed(claims, public_pem(issuer))
    await refused(it, "signed in another way than its key is for")
    other = SigningKey("first", "ES256")
    issuer.make_token = other.sign
    await refused(it, "signed in another way than its key is for")
    issuer.make_token = SigningKey("first").sign
    await refused(it, "its signature is wrong")


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "..", '{"payload":"x","signatures":[]}', "x" * 40_000])
async def test_what_is_no_compact_token(it: KeyedSite, issuer: OidcIssuer, token: str) -> None:
    issuer.make_token = lambda claims: token
    await refused(it, "it is no signed token")


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
async def test_other_types_of_key(it: KeyedSite, issuer: OidcIssuer, algorithm: str) -> None:
    issuer.rotate(SigningKey("first", algorithm))
    assert (await Browser(it).sign_in()).status == 200


async def test_keys_that_must_not_be_used_are_not(it: KeyedSite, issuer: OidcIssuer) -> None:
    oct_key = {"kty": "oct", "kid": "first", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}
    for listed in ([oct_key], [issuer.key.jwk() | {"use": "enc"}], [issuer.key.jwk() | {"alg": "RS512"}], [7]):
        issuer.listed = listed  # type: ignore[assignment]
        trust(it, issuer)
        await refused(it, "signed with a key that the issuer does not list")


async def test_keys_named_by_the_token_itself_are_not_looked_at(it: KeyedSite, issuer: OidcIssuer) -> None:
    async with oidc_issuer() as evil:
        evil.rotate(SigningKey("evil"))
        header = {"jku": f"{evil.url}/keys", "jwk": evil.key.jwk()}
        issuer.make_token = lambda claims: evil.key.sign(claims, **header)
        await refused(it, "signed with a key that the issuer does not list")
        assert evil.asked == {}


async def test_new_keys_are_found_and_wrong_ones_not_looked_for_again_and_again(
    it: KeyedSite, issuer: OidcIssuer
) -> None:
    await Browser(it).sign_in()
    issuer.rotate(SigningKey("second"))
    await refused(it, "does not list")  # the keys were read a moment ago
    it.clock.advance(61)
    assert (await Browser(it).sign_in()).status == 200
    assert issuer.asked["/keys"] == 2
    issuer.make_token = SigningKey("third").sign
    for _ in range(3):
        await refused(it, "does not list")
    assert issuer.asked["/keys"] == 2
    assert issuer.asked["/.well-known/openid-configuration"] == 1


async def test_a_document_that_leads_elsewhere(it: KeyedSite, issuer: OidcIssuer) -> None:
    async with oidc_issuer() as evil:
        for name in ("jwks_uri", "token_endpoint", "authorization_endpoint"):
            issuer.document = {name: f"{evil.url}/keys"}
            trust(it, issuer)
            answer = await Browser(it).get("/signin/oidc")
            assert answer.status == 502 and f"has its {name} at" in answer.body
            assert "under [access.oidc]" in answer.body
        issuer.document = {"issuer": evil.url}
        trust(it, issuer)
        assert "The discovery document of" in (await Browser(it).get("/signin/oidc")).body
        assert evil.asked == {}


async def test_an_issuer_that_is_not_there(it: KeyedSite, issuer: OidcIssuer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    trust(it, issuer, issuer=f"http://127.0.0.1:{port}")
    answer = await Browser(it).get("/signin/oidc")
    assert answer.status == 503 and "The issuer does not answer" in answer.body


async def test_a_code_is_used_once_and_by_who_asked_for_it(it: KeyedSite) -> None:
    browser, thief, victim = Browser(it), Browser(it), Browser(it)
    back = await browser.at_issuer(await browser.leave())
    kept = dict(browser.cookies)
    # Somebody else's answer: without the cookie, and with that of an attempt of their own.
    for other in (victim, thief):
        if other is thief:
            await thief.leave()
        answer = await other.get(back)
        assert answer.status == 401 and "not the end of a sign-in that this browser began" in answer.body
    # The code of one attempt in the answer to another: its challenge is the first one's.
    own = parse_qs(urlsplit(await thief.leave()).query)["state"][0]
    code = parse_qs(urlsplit(back).query)["code"][0]
    answer = await thief.get(f"{CALLBACK}?{urlencode({'code': code, 'state': own})}")
    assert answer.status == 401 and "The issuer refuses the code" in answer.body
    assert "penstock_session" not in {*victim.cookies, *thief.cookies}
    back = await browser.at_issuer(await browser.leave())
    kept = dict(browser.cookies)
    assert (await browser.get(back)).status == 200
    browser.cookies = kept
    again = await browser.get(back)
    assert again.status == 401 and "The issuer refuses the code" in again.body


async def test_an_attempt_that_was_changed_or_is_old(it: KeyedSite) -> None:
    browser = Browser(it)
    back = await browser.at_issuer(await browser.leave())
    (name, sealed), *_ = browser.cookies.items()
    for wrong in (sealed[:-2] + "AA", "." + sealed, sealed.partition(".")[0], "e30.", "ä", ""):
        browser.cookies = {name: wrong}
        assert (await browser.get(back)).status == 401
    browser.cookies = {name: sealed}
    for query in ("code=x", "code=x&state=", "state=x"):
        assert (await browser.get(f"{CALLBACK}?{query}")).status == 401
        browser.cookies = {name: sealed}
    it.clock.advance(601)
    assert "longer than ten minutes" in (await browser.get(back)).body


async def test_the_issuer_says_no(it: KeyedSite, issuer: OidcIssuer) -> None:
    issuer.refuse = "access_denied<script>"
    answer = await Browser(it).sign_in()
    assert answer.status == 401 and "did not sign you in: access_denied&lt;script&gt;" in answer.body


async def test_a_wrong_client_secret_is_said(
    it: KeyedSite, issuer: OidcIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OIDC_SECRET", "another")
    answer = await Browser(it).sign_in()
    assert answer.status == 502 and "invalid_client" in answer.body and "another" not in answer.body


@pytest.mark.parametrize(
    "to", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/signin"]
)
async def test_nobody_is_led_elsewhere_after_signing_in(it: KeyedSite, to: str) -> None:
    answer = await Browser(it).sign_in(to)
    assert answer.status == 200 and 'content="0;url=/overview"' in answer.body


async def test_the_redirect_address_is_not_the_request_s_to_choose(it: KeyedSite, issuer: OidcIssuer) -> None:
    browser = Browser(it)
    for host in ("evil.example", "127.0.0.1@evil.example", "127.0.0.1:80/x", "127.0.0.1.evil.example"):
        answer = await browser.get("/signin/oidc", host=host)
        assert answer.status in (400, 500) and "location" not in answer.headers, answer.body
    left = urlsplit(await browser.leave())
    query = {name: values[0] for name, values in parse_qs(left.query).items()}
    query["redirect_uri"] = "https://evil.example/"
    async with it.session.get(f"{issuer.url}/authorize?{urlencode(query)}", allow_redirects=False) as response:
        assert response.status == 400
    trust(it, issuer, address="https://llm.example.com")
    left = urlsplit((await browser.get("/signin/oidc", host="evil.example")).headers["location"])
    assert parse_qs(left.query)["redirect_uri"] == ["https://llm.example.com/signin/oidc/callback"]


async def test_a_session_ends(it: KeyedSite, issuer: OidcIssuer) -> None:
    now = it.clock.now_us() / 1e6
    issuer.claims["session_expiry"] = now + 600
    browser = Browser(it)
    await browser.sign_in()
    assert (await browser.get("/api/v1/whoami")).status == 200
    it.clock.advance(601)
    assert (await browser.get("/api/v1/whoami", accept="*/*")).status == 401
    del issuer.claims["session_expiry"]
    await browser.sign_in()
    it.clock.advance(12 * 3600 - 1)
    assert (await browser.get("/api/v1/whoami")).status == 200
    it.clock.advance(2)
    assert (await browser.get("/api/v1/whoami", accept="*/*")).status == 401


async def test_failed_attempts_are_counted(it: KeyedSite, issuer: OidcIssuer) -> None:
    issuer.claims["groups"] = []
    for _ in range(10):
        assert (await Browser(it).sign_in()).status == 403
    assert (await Browser(it).sign_in()).status == 429
