"""Sessions of the console: signed in with a key, ended with it, and not to be guessed at."""

from pathlib import Path

import pytest
import pytest_asyncio

from penstock.access.sessions import SESSION_SECONDS, network
from penstock.access.store import Access
from penstock.access.values import MadeKey, NewKey
from penstock.audit.record import COMMAND_LINE, Actor, AuditFilter
from penstock.clock import ManualClock
from penstock.errors import RateLimited, Unauthenticated


@pytest_asyncio.fixture
async def made(access: Access) -> MadeKey:
    return await access.keys.create(COMMAND_LINE, NewKey(name="ada", role="viewer"))


async def sign_in(access: Access, made: MadeKey) -> bytes:
    cookie, _ = await access.sessions.sign_in(made.secret.reveal().encode(), "192.0.2.1")
    return cookie.reveal().encode()


async def test_a_session_is_its_key_s(access: Access, made: MadeKey) -> None:
    principal = access.sessions.resume(await sign_in(access, made))
    assert (principal.name, principal.role, principal.key_id) == ("ada", "viewer", made.key.id)


async def test_a_session_ends_after_its_time(access: Access, made: MadeKey, clock: ManualClock) -> None:
    cookie = await sign_in(access, made)
    clock.advance(SESSION_SECONDS - 1)
    access.sessions.resume(cookie)
    clock.advance(1)
    with pytest.raises(Unauthenticated, match="not signed in any more"):
        access.sessions.resume(cookie)


async def test_a_session_ends_with_its_key_and_when_it_is_left(access: Access, made: MadeKey) -> None:
    left, cookie = await sign_in(access, made), await sign_in(access, made)
    await access.sessions.sign_out(left, Actor(access.sessions.resume(left)))
    with pytest.raises(Unauthenticated):
        access.sessions.resume(left)
    access.sessions.resume(cookie)
    await access.keys.revoke(COMMAND_LINE, made.key.id)
    with pytest.raises(Unauthenticated, match="revoked"):
        access.sessions.resume(cookie)


async def test_a_cookie_is_no_key_and_a_key_no_cookie(access: Access, made: MadeKey) -> None:
    cookie = await sign_in(access, made)
    with pytest.raises(Unauthenticated):
        access.keys.authenticate(cookie)
    with pytest.raises(Unauthenticated):
        access.sessions.resume(made.secret.reveal().encode())
    with pytest.raises(Unauthenticated):
        await access.sessions.sign_in(access.keys.owner_token().encode(), "192.0.2.1")


async def test_sessions_survive_a_restart(
    access: Access, made: MadeKey, tmp_path: Path, clock: ManualClock
) -> None:
    cookie = await sign_in(access, made)
    again = Access.open(tmp_path, tmp_path, clock=clock)
    assert again.sessions.resume(cookie).name == "ada"
    await again.close()


async def test_ten_failures_a_minute_from_an_address(access: Access, made: MadeKey, clock: ManualClock) -> None:
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            await access.sessions.sign_in(b"pst_wrong", "192.0.2.1")
    with pytest.raises(RateLimited) as error:
        await access.sessions.sign_in(made.secret.reveal().encode(), "192.0.2.1")
    assert error.value.retry_after == pytest.approx(6, abs=1)
    await access.sessions.sign_in(made.secret.reveal().encode(), "192.0.2.2")
    clock.advance(7)
    await access.sessions.sign_in(made.secret.reveal().encode(), "192.0.2.1")
    failed = await access.audit.list(AuditFilter(project_id=None, action="signin.failed"))
    assert len(failed) == 10 and {each.address for each in failed} == {"192.0.2.1"}


def test_an_attacker_s_network_counts_once() -> None:
    assert network("2001:db8::1") == network("2001:db8::ffff:2") != network("2001:db8:0:1::1")
    assert network("192.0.2.1") != network("192.0.2.2")
    assert network("not an address") == "not an address"
