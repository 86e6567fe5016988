"""Forms and files of the console without a browser: who may send them, and what they may hold."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.keyed_site import OTHER, KeyedSite, keyed_site

from penstock.console import costs, formats
from penstock.console.forms import patterns
from penstock.console.key_form import KeyForm
from penstock.errors import InvalidRequest


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[KeyedSite]:
    async with keyed_site(tmp_path) as site:
        yield site


async def session(it: KeyedSite, role: str, project: str = "local") -> dict[str, str]:
    secret = await it.secret(f"{role} {project}", role, project)  # type: ignore[arg-type]
    answer = await it.ask("POST", "/signin", data={"key": secret}, headers={"origin": it.url})
    return {"cookie": answer.headers["set-cookie"].partition(";")[0]}


async def make(it: KeyedSite, headers: dict[str, str], **form: Any) -> Any:
    return await it.ask("POST", "/keys", data={"name": "k", "role": "developer"} | form, headers=headers)


@pytest.mark.parametrize(
    "headers", [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}]
)
async def test_forms_of_other_sites_are_refused(it: KeyedSite, headers: dict[str, str]) -> None:
    assert (await make(it, headers, role="owner")).status == 403, "in local mode"
    assert not it.access.keys.required
    cookie = await session(it, "owner")
    for path in ("/keys", "/projects", "/keys/key_x/revoke", "/keys/key_x/rotate", f"/projects/{OTHER}/close"):
        answer = await it.ask("POST", path, data={"name": "k", "id": "p"}, headers=cookie | headers)
        assert answer.status == 403, path


async def test_what_needs_a_role_is_refused_to_others(it: KeyedSite) -> None:
    developer, admin = await session(it, "developer"), await session(it, "admin")
    theirs = await session(it, "owner", OTHER)
    own = {"origin": it.url}
    for path in ("/keys", "/audit", "/projects"):
        answer = await it.ask("GET", path, headers=developer)
        assert answer.status == 403 and "needs the role" in answer.body
    assert (await make(it, developer | own)).status == 403
    assert (await it.ask("POST", "/projects", data={"id": "new"}, headers=admin | own)).status == 403
    assert (await it.ask("POST", "/projects", data={"id": "new"}, headers=theirs | own)).status == 403
    assert (await make(it, admin | own, role="owner")).status == 403
    assert (await make(it, theirs | own, project="local")).status == 403
    assert (await make(it, admin | own)).status == 200
    shown = await it.ask("GET", "/traces", headers=developer)
    assert 'href="/keys"' not in shown.body and 'href="/costs"' in shown.body


async def test_the_first_key_is_an_owner_of_the_server(it: KeyedSite) -> None:
    own = {"origin": it.url}
    for form in ({"role": "developer"}, {"role": "owner", "project": OTHER}):
        refused = await make(it, own, **form)
        assert refused.status == 400 and "The first key is the owner&#39;s" in refused.body
        assert not it.access.keys.required
    made = await make(it, own, role="owner")
    assert made.status == 200 and "pst_" in made.body
    cookie = {"cookie": made.headers["set-cookie"].partition(";")[0]}
    assert (await it.ask("GET", "/keys", headers=cookie)).status == 200
    assert made.headers["cache-control"] == "no-store"


async def test_a_form_that_is_too_long_or_not_one_is_refused(it: KeyedSite) -> None:
    cookie = await session(it, "owner") | {"origin": it.url, "content-type": "application/x-www-form-urlencoded"}
    for body in (b"name=" + b"a" * 60_000, b"name=%ff\xff", b"&".join(b"a%d=1" % n for n in range(60))):
        answer = await it.ask("POST", "/keys", data=body, headers=cookie)
        assert answer.status == 400 and "cannot be read" in answer.body


async def test_a_project_is_made_closed_and_opened(it: KeyedSite) -> None:
    cookie = await session(it, "owner") | {"origin": it.url}
    theirs = await it.secret("theirs", "developer", OTHER)
    assert (await it.ask("POST", "/projects", data={"id": "a b"}, headers=cookie)).status == 400
    assert (await it.ask("POST", "/projects", data={"id": "team-c"}, headers=cookie)).status == 303
    assert (await it.ask("POST", f"/projects/{OTHER}/close", data={}, headers=cookie)).status == 303
    assert (await it.ask("GET", "/api/v1/whoami", theirs)).status == 401
    assert (await it.ask("POST", f"/projects/{OTHER}/open", data={}, headers=cookie)).status == 303
    assert (await it.ask("GET", "/api/v1/whoami", theirs)).status == 200
    assert (await it.ask("POST", "/projects/local/close", data={}, headers=cookie)).status == 409


def test_limits_of_the_form() -> None:
    form = KeyForm(name="a", usd="$1,000", requests="60", tokens="2_000", concurrent="3", models="gpt-*, small  x")
    key = form.new_key(0)
    amounts = [(each.usd, each.requests, each.tokens, each.concurrent, each.per) for each in key.limits]
    assert amounts == [
        (1000.0, None, None, None, "key"),
        (None, 60, None, None, "key"),
        (None, None, 2000, None, "key"),
        (None, None, None, 3, "key"),
    ]
    assert key.models == ("gpt-*", "small", "x") == patterns("gpt-*, small,x gpt-*")
    assert KeyForm(name="a", days="7").new_key(0).expires_us == 7 * 86_400_000_000
    for wrong in ({"usd": "nan"}, {"requests": "1.5"}, {"tokens": "0"}, {"usd": "5", "usd_window": "soon"}):
        with pytest.raises(InvalidRequest):
            KeyForm(name="a", **wrong).new_key(0)


@pytest.mark.parametrize(
    ("value", "text"), [("=cmd()", "'=cmd()"), ("@x", "'@x"), ("-1", "'-1"), ("gpt-4", "gpt-4")]
)
def test_no_name_is_a_formula(value: str, text: str) -> None:
    assert costs.plain(value) == text


@pytest.mark.parametrize(
    ("nanos", "text"),
    [(None, "–"), (0, "$0.00"), (120_000, "$0.00012"), (400_000_000, "$0.40"), (742_364_000, "$0.742"),
     (12_340_000_000, "$12.34"), (1_234_560_000_000, "$1,235"), (9, "<$0.0001")],
)  # fmt: skip
def test_money(nanos: int | None, text: str) -> None:
    assert formats.money(nanos) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, "–"),
        (412, "412"),
        (98_214, "98,214"),
        (271_286, "271K"),
        (999_999, "1,000K"),
        (1_240_000, "1.24M"),
        (3_100_000_000, "3.1B"),
    ],
)
def test_compact_counts(number: int | None, text: str) -> None:
    assert formats.compact(number) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.0, "0%"), (0.0003, "<0.1%"), (0.013, "1.3%"), (0.12, "12%"), (1.0, "100%")]
)
def test_shares(value: float | None, text: str) -> None:
    assert formats.share(value) == text
