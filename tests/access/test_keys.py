"""Keys: shown once, found by their digest, ended, replaced, and never with more rights than their parent."""

import hmac
import logging
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.access.principal import RANK, permits
from penstock.access.store import Access, ever_had_keys
from penstock.access.values import MadeKey, NewKey
from penstock.audit.record import COMMAND_LINE, Actor, AuditFilter
from penstock.clock import ManualClock
from penstock.config.limits import LimitSettings
from penstock.config.secret import Secret
from penstock.errors import Conflict, Forbidden, InvalidRequest, NotFound, PenstockError, Unauthenticated
from penstock.exchange import Role

DAY = 86_400


def listing(folder: Path) -> list[tuple[str, int, int]]:
    """The name, mode and size of each file."""
    return [(path.name, path.stat().st_mode & 0o777, path.stat().st_size) for path in folder.iterdir()]


def content_of(folder: Path) -> bytes:
    """All bytes of a folder, but the pepper's."""
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.name != "pepper")


def who(access: Access, made: MadeKey) -> Actor:
    return Actor(access.keys.authenticate(made.secret.reveal().encode()), "192.0.2.1")


async def test_a_key_says_who_shows_it(access: Access) -> None:
    assert not access.keys.required
    made = await access.keys.create(COMMAND_LINE, NewKey(name="web", models=("gpt-*",), routes=("/v1/*",)))
    assert access.keys.required
    principal = access.keys.authenticate(made.secret.reveal().encode())
    assert (principal.key_id, principal.name, principal.project_id) == (made.key.id, "web", "local")
    assert (principal.role, principal.models, principal.routes) == ("developer", ("gpt-*",), ("/v1/*",))


async def test_a_key_has_256_random_bits(access: Access) -> None:
    secrets = {(await access.keys.create(COMMAND_LINE, NewKey(name="web"))).secret.reveal() for _ in range(20)}
    assert len(secrets) == 20
    assert all(re.fullmatch(r"pst_[0-9A-Za-z]{43}", secret) for secret in secrets)


@pytest.mark.parametrize("shown", [b"", b"pst_", b"pst_" + b"0" * 43, b"\x00\xff", b"x" * 100_000])
async def test_what_is_no_key_is_refused(access: Access, shown: bytes) -> None:
    await access.keys.create(COMMAND_LINE, NewKey(name="web"))
    with pytest.raises(Unauthenticated, match=r"^The key is not valid\."):
        access.keys.authenticate(shown)


async def test_the_comparison_takes_the_same_time_for_every_key(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is looked up is the digest under a secret pepper, and what was found is compared in constant time."""
    made = await access.keys.create(COMMAND_LINE, NewKey(name="web"))
    compared = []
    real = hmac.compare_digest

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return real(a, b)

    monkeypatch.setattr("penstock.access.directory.hmac.compare_digest", compare)
    access.keys.authenticate(made.secret.reveal().encode())
    ((stored, shown),) = compared
    assert stored == shown and len(stored) == 32


async def test_an_expired_key_and_a_revoked_one_say_so_and_no_more(access: Access, clock: ManualClock) -> None:
    ends = clock.now_us() + 10_000_000
    expiring = await access.keys.create(COMMAND_LINE, NewKey(name="private name", expires_us=ends))
    revoked = await access.keys.create(COMMAND_LINE, NewKey(name="private name"))
    secret = expiring.secret.reveal().encode()
    clock.advance(9.9)
    access.keys.authenticate(secret)
    clock.advance(0.1)
    with pytest.raises(Unauthenticated, match=r"^The key has expired\.") as error:
        access.keys.authenticate(secret)
    assert "private" not in str(error.value)
    await access.keys.revoke(COMMAND_LINE, revoked.key.id)
    with pytest.raises(Unauthenticated, match=r"^The key has been revoked\.") as error:
        access.keys.authenticate(revoked.secret.reveal().encode())
    assert "private" not in str(error.value)
    assert access.keys.required, "the server stays closed when its last key has ended"


async def test_keys_are_known_again_after_a_restart(tmp_path: Path, clock: ManualClock) -> None:
    access = Access.open(tmp_path, tmp_path, clock=clock)
    assert not ever_had_keys(tmp_path)
    limits = (LimitSettings(requests=5), LimitSettings(concurrent=2, per="key"))
    made = await access.keys.create(COMMAND_LINE, NewKey(name="web", limits=limits))
    access.keys.authenticate(made.secret.reveal().encode())
    await access.close()
    assert ever_had_keys(tmp_path)
    again = Access.open(tmp_path, tmp_path, clock=clock)
    principal = again.keys.authenticate(made.secret.reveal().encode())
    assert principal.key_id == made.key.id
    assert again.keys.limits_of(made.key.id) == limits
    assert again.keys.get(COMMAND_LINE.principal, made.key.id).last_used_us == clock.now_us()
    await again.close()


async def test_another_pepper_is_found_out_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await Access.open(tmp_path, tmp_path).close()
    monkeypatch.setenv("PEPPER", "p" * 32)
    with pytest.raises(PenstockError, match="made under another pepper"):
        Access.open(tmp_path, tmp_path, Secret.from_env("PEPPER"))
    (tmp_path / "pepper").write_bytes(b"short")
    with pytest.raises(PenstockError, match="has 5 bytes instead of 32"):
        Access.open(tmp_path, tmp_path)
    monkeypatch.setenv("PEPPER", "short")
    with pytest.raises(PenstockError, match="5 characters, and 32 are needed"):
        Access.open(tmp_path / "new", tmp_path, Secret.from_env("PEPPER"))


async def test_the_pepper_is_a_file_of_this_user_only(tmp_path: Path) -> None:
    await Access.open(tmp_path, tmp_path).close()
    assert [each for each in listing(tmp_path) if each[0].startswith("pepper")] == [("pepper", 0o600, 32)]


async def test_no_secret_is_left_anywhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    access = Access.open(tmp_path, tmp_path)
    made = await access.keys.create(COMMAND_LINE, NewKey(name="ops", role="owner"))
    rotated = await access.keys.rotate(COMMAND_LINE, made.key.id)
    token = access.keys.owner_token()
    cookie, _ = await access.sessions.sign_in(made.secret.reveal().encode(), "127.0.0.1")
    with pytest.raises(Unauthenticated):
        await access.sessions.sign_in(b"pst_mistyped-secret", "127.0.0.1")
    records = await access.audit.list(AuditFilter(project_id=None))
    spoken = "\n".join([repr(made), repr(rotated), str(made.secret), repr(access.keys), repr(records), caplog.text])
    await access.close()
    kept = content_of(tmp_path)
    whole = (made.secret.reveal(), rotated.secret.reveal(), token, cookie.reveal())
    for part in (*(secret[12:] for secret in whole), "mistyped-secret"):
        assert part.encode() not in kept
        assert part not in spoken


async def test_rotation_lets_both_keys_work_for_a_while(access: Access, clock: ManualClock) -> None:
    made = await access.keys.create(COMMAND_LINE, NewKey(name="web", role="admin", models=("gpt-*",)))
    successor = await access.keys.rotate(COMMAND_LINE, made.key.id, overlap_seconds=DAY)
    assert (successor.key.role, successor.key.models, successor.key.name) == ("admin", ("gpt-*",), "web")
    clock.advance(DAY - 1)
    for each in (made, successor):
        access.keys.authenticate(each.secret.reveal().encode())
    clock.advance(1)
    with pytest.raises(Unauthenticated, match="expired"):
        access.keys.authenticate(made.secret.reveal().encode())
    access.keys.authenticate(successor.secret.reveal().encode())
    with pytest.raises(Conflict, match="'web' has ended"):
        await access.keys.rotate(COMMAND_LINE, made.key.id)


async def test_rotation_never_prolongs_a_key(access: Access, clock: ManualClock) -> None:
    ends = clock.now_us() + 3600 * 1_000_000
    made = await access.keys.create(COMMAND_LINE, NewKey(name="web", expires_us=ends))
    successor = await access.keys.rotate(COMMAND_LINE, made.key.id, overlap_seconds=DAY)
    assert successor.key.expires_us == ends
    assert access.keys.get(COMMAND_LINE.principal, made.key.id).expires_us == ends
    with pytest.raises(InvalidRequest, match="expired already"):
        await access.keys.rotate(COMMAND_LINE, made.key.id, expires_us=clock.now_us())
    with pytest.raises(InvalidRequest, match="out of range"):
        await access.keys.rotate(COMMAND_LINE, made.key.id, overlap_seconds=-1)


async def test_what_was_made_with_a_key_ends_with_it(access: Access) -> None:
    parent = await access.keys.create(COMMAND_LINE, NewKey(name="parent", role="owner"))
    child = await access.keys.create(who(access, parent), NewKey(name="child", role="admin"))
    grandchild = await access.keys.create(who(access, child), NewKey(name="grandchild"))
    stranger = await access.keys.create(COMMAND_LINE, NewKey(name="stranger"))
    ended = await access.keys.revoke(COMMAND_LINE, parent.key.id)
    assert [key.name for key in ended] == ["parent", "child", "grandchild"]
    for each in (parent, child, grandchild):
        with pytest.raises(Unauthenticated, match="revoked"):
            access.keys.authenticate(each.secret.reveal().encode())
    access.keys.authenticate(stranger.secret.reveal().encode())


async def test_children_can_be_kept(access: Access) -> None:
    parent = await access.keys.create(COMMAND_LINE, NewKey(name="parent", role="admin"))
    child = await access.keys.create(who(access, parent), NewKey(name="child"))
    await access.keys.revoke(COMMAND_LINE, parent.key.id, children_too=False)
    access.keys.authenticate(child.secret.reveal().encode())


async def test_an_admin_stays_in_its_project(access: Access) -> None:
    for project in ("team-a", "team-b"):
        await access.projects.create(COMMAND_LINE, project)
    admin = await access.keys.create(COMMAND_LINE, NewKey(name="a", role="admin", project_id="team-a"))
    other = await access.keys.create(COMMAND_LINE, NewKey(name="b", project_id="team-b"))
    actor = who(access, admin)
    assert (await access.keys.create(actor, NewKey(name="child"))).key.project_id == "team-a"
    with pytest.raises(Forbidden, match="needs an owner of this server"):
        await access.keys.create(actor, NewKey(name="child", project_id="team-b"))
    for call in (access.keys.revoke, access.keys.rotate):
        with pytest.raises(NotFound):
            await call(actor, other.key.id)
    assert {key.project_id for key in access.keys.list(actor.principal)} == {"team-a"}
    assert access.keys.list(actor.principal, "team-b") == ()
    with pytest.raises(NotFound):
        access.keys.get(actor.principal, other.key.id)


async def test_rotation_is_no_way_to_more_rights(access: Access) -> None:
    """Who rotates a key learns its successor."""
    narrow = await access.keys.create(COMMAND_LINE, NewKey(name="narrow", role="admin", models=("small-*",)))
    wide = await access.keys.create(COMMAND_LINE, NewKey(name="wide"))
    owner = await access.keys.create(COMMAND_LINE, NewKey(name="owner", role="owner"))
    grouped = await access.keys.create(COMMAND_LINE, NewKey(name="grouped", models=("small-1",), groups=("hr",)))
    with pytest.raises(Forbidden, match="models without a bound"):
        await access.keys.rotate(who(access, narrow), wide.key.id)
    with pytest.raises(Forbidden, match="groups hr, which is more than 'narrow' has"):
        await access.keys.rotate(who(access, narrow), grouped.key.id)
    for call in (access.keys.revoke, access.keys.rotate):
        with pytest.raises(Forbidden, match="of the role owner needs that role"):
            await call(who(access, narrow), owner.key.id)


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        (NewKey(name=""), InvalidRequest, "1 to 100 printable characters"),
        (NewKey(name="a\nb"), InvalidRequest, "'a\\\\nb' does not"),
        (NewKey(name="x", models=("",)), InvalidRequest, "'' is no pattern"),
        (NewKey(name="x", routes=("v1/models",)), InvalidRequest, "'v1/models' is no path"),
        (NewKey(name="x", groups=(" ",)), InvalidRequest, "' ' is no name of a group"),
        (NewKey(name="x", project_id="nobody"), NotFound, "There is no project 'nobody'"),
        (NewKey(name="x", expires_us=1), InvalidRequest, "expired already"),
    ],
)
async def test_what_no_key_can_be(access: Access, wanted: NewKey, error: type[PenstockError], message: str) -> None:
    with pytest.raises(error, match=message):
        await access.keys.create(COMMAND_LINE, wanted)


PATTERNS = st.lists(st.sampled_from(["*", "gpt-*", "gpt-4*", "gpt-4", "claude-*", "c*"]), max_size=2).map(tuple)
ROUTES = st.lists(st.sampled_from(["*", "/v1/*", "/v1/models", "/api/*"]), max_size=2).map(tuple)
NAMES = ("gpt-4", "gpt-4.1", "gpt-5", "claude-haiku", "codestral", "llama")
PATHS = ("/v1/models", "/v1/embeddings", "/api/v1/keys", "/metrics")
ROLES: st.SearchStrategy[Role] = st.sampled_from(["viewer", "developer", "admin", "owner"])
ENDS = st.none() | st.integers(1, 10_000)
GROUPS = st.lists(st.sampled_from(["hr", "legal", "board"]), max_size=2, unique=True).map(tuple)
RIGHTS = st.tuples(ROLES, PATTERNS, ROUTES, GROUPS, ENDS, st.none() | st.sampled_from(["local", "team-a"]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(RIGHTS, min_size=2, max_size=5))
async def test_a_child_never_exceeds_its_parent(
    tmp_path_factory: pytest.TempPathFactory,
    chain: list[tuple[Role, tuple[str, ...], tuple[str, ...], tuple[str, ...], int | None, str]],
) -> None:
    """Each key of a chain is made with the one before; those that are refused are left out."""
    clock = ManualClock()
    folder = tmp_path_factory.mktemp("chain")
    access = Access.open(folder, folder, clock=clock)
    await access.projects.create(COMMAND_LINE, "team-a")
    now, actor, parent = clock.now_us(), COMMAND_LINE, None
    try:
        for role, models, routes, groups, ends, project in chain:
            wanted = NewKey(
                name="key",
                role=role,
                models=models,
                routes=routes,
                groups=groups,
                expires_us=None if ends is None else now + ends * 1_000_000,
                project_id=project,
            )
            try:
                made = await access.keys.create(actor, wanted)
            except Forbidden:
                continue
            child = made.key
            if parent is not None:
                assert child.parent_id == parent.id
                assert RANK[child.role] <= RANK[parent.role]
                assert all(permits(parent.models, name) for name in NAMES if permits(child.models, name))
                assert all(permits(parent.routes, path) for path in PATHS if permits(child.routes, path))
                assert parent.expires_us is None or (child.expires_us or 1 << 62) <= parent.expires_us
                owns = parent.role == "owner" and parent.project_id == "local"
                assert child.project_id == parent.project_id or owns
                assert set(child.groups) <= set(parent.groups) or owns
            parent, actor = child, Actor(access.keys.authenticate(made.secret.reveal().encode()))
    finally:
        await access.close()
