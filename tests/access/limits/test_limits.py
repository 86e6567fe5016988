"""Limits in one process: what they admit, what they say, and what is given back."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.access.limits import Ask, Limits, Reservation
from penstock.access.limits.local import LocalStore
from penstock.access.limits.rules import OwnLimit
from penstock.access.limits.values import Crossing, Part
from penstock.clock import ManualClock
from penstock.config.limits import LimitSettings
from penstock.errors import BudgetExceeded, RateLimited
from penstock.exchange import Principal

MINUTE_START = 1_700_000_040_000_000
"""2023-11-14 22:14:00 UTC."""
DECEMBER_START = 1_701_388_800_000_000


def who(project: str = "a", key: str = "ci") -> Principal:
    return Principal(project_id=project, key_id=f"key_{project}_{key}", name=key, role="developer")


class KeyLimits:
    """What keys carry, by their names."""

    def __init__(self, limits: dict[str, LimitSettings]) -> None:
        self.limits = limits
        self.version = 0

    def of(self, principal: Principal) -> Iterator[OwnLimit]:
        if principal.name in self.limits:
            yield OwnLimit(f"key {principal.name}", self.limits[principal.name])


class Site:
    """Limits on a clock that the test moves."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(MINUTE_START)
        self.path = folder / "limits.counts"
        self.crossings: list[Crossing] = []
        self.store = LocalStore(self.path, self.crossings.append, self.clock)
        self.limits = Limits(self.store)

    def limit(self, *settings: LimitSettings) -> None:
        self.limits.use(settings)

    async def ask(
        self,
        principal: Principal | None = None,
        model: str = "gpt",
        *,
        tokens: int = 0,
        cost: int | None = 0,
        user: str | None = None,
        part: Part = "all",
    ) -> Reservation:
        return await self.limits.reserve(
            Ask(principal=principal or who(), model=model, tokens=tokens, cost_nanos=cost, user=user, part=part)
        )

    async def passed(self, wanted: int, **fields: object) -> int:
        """How many of `wanted` requests are admitted."""
        passed = 0
        for _ in range(wanted):
            try:
                await self.ask(**fields)  # type: ignore[arg-type]
                passed += 1
            except RateLimited:
                pass
        return passed

    async def used(self) -> dict[tuple[str, int], int]:
        return {(each.spec.scope, each.spec.dimension): each.used for each in await self.limits.usage()}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    asyncio.run(site.store.close())


async def test_the_limit_passes_and_no_more(site: Site) -> None:
    site.limit(LimitSettings(requests=100))
    assert await site.passed(500) == 100


async def test_five_hundred_at_once_pass_exactly_as_many_as_there_is_budget_for(site: Site) -> None:
    site.limit(LimitSettings(usd=1.0, window="month"))

    async def call() -> int:
        try:
            reservation = await site.ask(cost=10_000_000)
        except BudgetExceeded:
            return 0
        await asyncio.sleep(0)
        reservation.settle(None, None)
        return 1

    assert sum(await asyncio.gather(*(call() for _ in range(500)))) == 100


async def test_all_or_nothing(site: Site) -> None:
    site.limit(LimitSettings(requests=10), LimitSettings(per="key", tokens=100))
    await site.ask(tokens=80)
    assert await site.passed(5, tokens=30) == 0
    assert await site.used() == {("a", 0): 1, ("ci", 1): 80}


async def test_settling_gives_back_what_was_not_used_but_not_the_request(site: Site) -> None:
    site.limit(LimitSettings(requests=10, tokens=1000, usd=1.0, concurrent=3))
    reservation = await site.ask(tokens=500, cost=1000)
    assert await site.used() == {("a", 0): 1, ("a", 1): 500, ("a", 2): 1000, ("a", 3): 1}
    reservation.settle(70, 20)
    reservation.settle(900, 900)
    assert await site.used() == {("a", 0): 1, ("a", 1): 70, ("a", 2): 20, ("a", 3): 0}


async def test_what_took_more_than_it_reserved_counts_whole(site: Site) -> None:
    site.limit(LimitSettings(tokens=100))
    (await site.ask(tokens=60)).settle(130, None)
    assert await site.used() == {("a", 1): 130}
    assert await site.passed(1, tokens=1) == 0


async def test_a_sliding_window_forgets_bit_by_bit(site: Site) -> None:
    site.limit(LimitSettings(requests=60))
    assert await site.passed(100) == 60
    site.clock.advance(60)
    assert await site.passed(100) == 0
    site.clock.advance(1)
    assert await site.passed(100) == 1
    site.clock.advance(30)
    assert await site.passed(100) == 30
    site.clock.advance(180)
    assert await site.passed(100) == 60


@pytest.mark.parametrize(
    ("window", "start", "end"),
    [
        ("day", "2024-02-28T23:59:59", "2024-02-29T00:00:00"),
        ("week", "2024-12-29T23:59:59", "2024-12-30T00:00:00"),
        ("month", "2024-02-29T23:59:59", "2024-03-01T00:00:00"),
        ("month", "2024-12-31T23:59:59", "2025-01-01T00:00:00"),
    ],
)
async def test_a_calendar_period_ends_with_its_last_second(
    tmp_path: Path, window: str, start: str, end: str
) -> None:
    from datetime import datetime

    site = Site(tmp_path)
    begin = datetime.fromisoformat(start + "+00:00").timestamp()
    site.clock.advance(begin - site.clock.now_us() / 1e6)
    site.limit(LimitSettings(requests=5, window=window))
    assert await site.passed(9) == 5
    with pytest.raises(RateLimited) as caught:
        await site.ask()
    assert caught.value.retry_after == 1
    site.clock.advance(0.999)
    assert await site.passed(9) == 0
    site.clock.advance(0.001)
    assert site.clock.now_us() / 1e6 == datetime.fromisoformat(end + "+00:00").timestamp()
    assert await site.passed(9) == 5
    await site.store.close()


async def test_coming_back_after_the_time_named_succeeds(site: Site) -> None:
    """For both halves of a sliding window: where the last stretch frees, and where only the next one does."""
    site.limit(LimitSettings(tokens=1000))
    await site.ask(tokens=700)
    site.clock.advance(75)
    await site.ask(tokens=100)
    for tokens in (400, 950):
        with pytest.raises(RateLimited) as caught:
            await site.ask(tokens=tokens)
        assert caught.value.retry_after
        site.clock.advance(caught.value.retry_after)
        await site.ask(tokens=tokens)


@given(
    first=st.integers(1, 40),
    passed=st.integers(0, 90),
    second=st.integers(1, 40),
    wanted=st.integers(1, 40),
    waits=st.integers(0, 90),
)
@settings(max_examples=60, deadline=None)
def test_the_time_named_is_when_a_request_passes_all_of_several_limits(
    first: int, passed: int, second: int, wanted: int, waits: int
) -> None:
    """Not a second sooner, and not refused again by another limit then."""

    async def play(folder: Path) -> None:
        site = Site(folder)
        site.limit(
            LimitSettings(tokens=50, window="10s"),
            LimitSettings(tokens=60, window="1m", per="key"),
            LimitSettings(requests=3, window="7s", per="all"),
            LimitSettings(tokens=100, window="day", per="all"),
        )
        for tokens, seconds in ((first, passed), (second, waits)):
            await site.passed(1, tokens=tokens)
            site.clock.advance(seconds)
        for _ in range(10):
            try:
                await site.ask(tokens=wanted)
            except RateLimited as error:
                assert error.retry_after is not None
                assert error.retry_after >= 1
                site.clock.advance(error.retry_after - 1)
                if error.retry_after > 1:
                    assert await site.passed(1, tokens=wanted) == 0
                site.clock.advance(1)
                await site.ask(tokens=wanted)
        await site.store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder)))


async def test_a_refusal_names_the_limit_that_frees_last(site: Site) -> None:
    site.limit(
        LimitSettings(requests=1),
        LimitSettings(usd=1.0, window="month", per="key"),
        LimitSettings(concurrent=1, per="all"),
    )
    await site.ask(cost=1_000_000_000)
    with pytest.raises(BudgetExceeded, match=r"Key 'ci' has used 1\.00 of 1\.00 USD this month") as caught:
        await site.ask(cost=1)
    assert caught.value.retry_after
    assert site.clock.now_us() + caught.value.retry_after * 1e6 == DECEMBER_START
    assert site.limits.denied == [0, 0, 1, 0]
    site.clock.advance(caught.value.retry_after)
    with pytest.raises(RateLimited, match="Everybody together has 1 requests in progress"):
        await site.ask(cost=1)


async def test_a_refusal_shows_what_is_left_of_limits_whose_window_has_begun_anew(site: Site) -> None:
    site.limit(LimitSettings(requests=2, window="1h"), LimitSettings(tokens=100, window="10s", per="key"))
    await site.passed(2, tokens=40)
    site.clock.advance(30)
    with pytest.raises(RateLimited) as caught:
        await site.ask(tokens=1)
    headers = dict(caught.value.headers)
    assert headers[b"x-ratelimit-remaining-requests"] == b"0"
    assert headers[b"x-ratelimit-remaining-tokens"] == b"100"


async def test_a_model_under_two_names_has_two_counts_and_a_pattern_joins_them(site: Site) -> None:
    site.limit(LimitSettings(per="model", requests=1))
    assert await site.passed(2, model="fast") == 1
    assert await site.passed(2, model="fast-eu") == 1
    site.limit(LimitSettings(model="fast*", per="all", requests=1))
    assert await site.passed(2, model="fast") == 1
    assert await site.passed(2, model="fast-eu") == 0


async def test_each_has_a_count_of_its_own(site: Site) -> None:
    site.limit(LimitSettings(per="key", requests=1), LimitSettings(per="all", requests=3))
    assert await site.passed(2, principal=who("a", "x")) == 1
    assert await site.passed(2, principal=who("a", "y")) == 1
    assert await site.passed(2, principal=who("b", "x")) == 1
    assert await site.passed(2, principal=who("c", "x")) == 0


async def test_selectors_choose_what_a_limit_holds_for(site: Site) -> None:
    site.limit(LimitSettings(project="team-*", model="gpt-4*", key="ci", requests=1))
    assert await site.passed(2, principal=who("team-a"), model="gpt-4.1") == 1
    assert await site.passed(2, principal=who("team-a"), model="claude") == 2
    assert await site.passed(2, principal=who("other"), model="gpt-4.1") == 2
    assert await site.passed(2, principal=who("team-a", "dev"), model="gpt-4.1") == 2


async def test_users_are_told_apart_within_their_project_and_none_is_a_user_too(site: Site) -> None:
    site.limit(LimitSettings(per="user", requests=1))
    assert await site.passed(2, user="ann") == 1
    assert await site.passed(2, user="bob") == 1
    assert await site.passed(2) == 1
    assert await site.passed(2, user="ann", principal=who("b")) == 1


async def test_what_runs_is_counted_until_it_ends(site: Site) -> None:
    site.limit(LimitSettings(concurrent=2))
    first, _ = await site.ask(), await site.ask()
    with pytest.raises(RateLimited) as caught:
        await site.ask()
    assert caught.value.message == "Project 'a' has 2 requests in progress, and 2 is the most."
    assert caught.value.retry_after == 1
    site.clock.advance(1e6)
    assert await site.passed(1) == 0
    first.settle(None, None)
    assert await site.passed(2) == 1


async def test_an_app_counts_as_a_request_and_its_calls_as_tokens(site: Site) -> None:
    site.limit(LimitSettings(requests=1, tokens=100, concurrent=1))
    await site.ask(part="request", tokens=0)
    for _ in range(3):
        (await site.ask(part="work", tokens=30)).settle(30, None)
    assert await site.used() == {("a", 0): 1, ("a", 1): 90, ("a", 3): 1}


async def test_limits_come_with_keys_and_projects_too(site: Site) -> None:
    own = KeyLimits({"ci": LimitSettings(requests=1)})
    limits = site.limits = Limits(site.store, [LimitSettings(requests=3)], own)
    assert await site.passed(2) == 1
    assert await site.passed(5, principal=who("a", "dev")) == 2
    limits.use([])
    assert await site.passed(5, principal=who("a", "dev")) == 5
    own.limits["dev"] = LimitSettings(requests=1)
    own.version += 1
    assert await site.passed(5, principal=who("a", "dev")) == 1
    with pytest.raises(RateLimited, match=r"Project 'a' has used 1 of 1 requests per 1m \(of key ci\)\."):
        await site.ask()


async def test_a_raised_limit_goes_on_with_what_was_used(site: Site) -> None:
    site.limit(LimitSettings(requests=2, window="day"))
    assert await site.passed(5) == 2
    site.limit(LimitSettings(requests=5, window="day"))
    assert await site.passed(9) == 3
    site.limit()
    assert await site.passed(9) == 9
    assert await site.used() == {}


REFUSALS = {
    "requests": (
        LimitSettings(requests=1),
        "Project 'a' has used 1 of 1 requests per 1m. Try again in 2 min. `penstock limits` shows what is used.",
    ),
    "tokens of a model": (
        LimitSettings(tokens=700, model="gpt*", per="key", window="1h"),
        "Key 'ci' has used 600 of 700 tokens per 1h (model gpt*), and this one may need 600 tokens. "
        "Try again at 2023-11-14 23:50 UTC. `penstock limits` shows what is used.",
    ),
    "money": (
        LimitSettings(usd=2.5, window="month", per="all"),
        "Everybody together has used 2.00 of 2.50 USD this month, and this one may need 2.00 USD. "
        "Try again at 2023-12-01 00:00 UTC. `penstock limits` shows what is used.",
    ),
    "a user": (
        LimitSettings(requests=1, per="user"),
        "Whoever names no user has used 1 of 1 requests per 1m. Try again in 2 min. "
        "`penstock limits` shows what is used.",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_a_refusal_names_the_limit_whose_it_is_what_is_used_and_when_it_frees(site: Site, case: str) -> None:
    settings, message = REFUSALS[case]
    site.limit(settings)
    await site.ask(tokens=600, cost=2_000_000_000)
    with pytest.raises(RateLimited) as caught:
        await site.ask(tokens=600, cost=2_000_000_000)
    assert str(caught.value) == message
    assert caught.value.code == ("insufficient_quota" if case == "money" else "rate_limit_exceeded")


async def test_what_could_never_pass_is_not_told_to_come_back(site: Site) -> None:
    site.limit(LimitSettings(tokens=100))
    with pytest.raises(RateLimited) as caught:
        await site.ask(tokens=101)
    assert caught.value.retry_after is None
    assert str(caught.value) == (
        "This request may need 101 tokens, and project 'a' may use 100 tokens per 1m. "
        "Ask for less: a smaller max_tokens, or a shorter prompt."
    )


async def test_a_call_without_a_price_passes_a_budget_unless_that_says_otherwise(site: Site) -> None:
    site.limit(LimitSettings(usd=1.0))
    (await site.ask(cost=None)).settle(None, 900_000_000)
    assert await site.used() == {("a", 2): 900_000_000}
    site.limit(LimitSettings(usd=1.0, unpriced="refuse"))
    with pytest.raises(BudgetExceeded) as caught:
        await site.ask(cost=None, model="own-llama")
    assert "The price of 'own-llama' is not known, and project 'a' may use 1.00 USD" in caught.value.message


async def test_the_headers_are_of_the_tightest_limit(site: Site) -> None:
    site.limit(
        LimitSettings(requests=100, tokens=1000),
        LimitSettings(per="key", requests=10, window="1h"),
        LimitSettings(usd=1.0, window="day"),
    )
    reservation = await site.ask(tokens=250)
    site.clock.advance(0.5)
    assert dict(reservation.headers()) == {
        b"x-ratelimit-limit-requests": b"10",
        b"x-ratelimit-remaining-requests": b"9",
        b"x-ratelimit-reset-requests": b"1h46m0s",
        b"x-ratelimit-limit-tokens": b"1000",
        b"x-ratelimit-remaining-tokens": b"750",
        b"x-ratelimit-reset-tokens": b"2m0s",
    }
    with pytest.raises(RateLimited) as caught:
        await site.ask(tokens=800)
    assert dict(caught.value.headers)[b"x-ratelimit-remaining-tokens"] == b"750"


async def test_a_warning_comes_once_a_window_and_stands_in_every_answer_from_then_on(site: Site) -> None:
    site.limit(LimitSettings(requests=10, window="day", warn_at=0.8))
    answers = [(await site.ask()).headers() for _ in range(10)]
    warned = [b"x-penstock-budget-warning" in dict(headers) for headers in answers]
    assert warned == [False] * 7 + [True] * 3
    assert dict(answers[8])[b"x-penstock-budget-warning"] == b"90% of 10 requests today used (per project)"
    assert [(crossing.spec.scope, crossing.used) for crossing in site.crossings] == [("a", 8)]
    site.clock.advance(86_400)
    await site.passed(9)
    assert len(site.crossings) == 2


async def test_nobody_fills_the_memory_with_users(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.access.limits.limits.MOST_COUNTERS", 5)
    site.limit(LimitSettings(per="user", requests=1))
    assert await site.passed(5, user="other") == 1
    for number in range(4):
        assert await site.passed(2, user=f"user-{number}") == 1
    assert [await site.passed(1, user=f"late-{number}") for number in range(3)] == [1, 0, 0]
    assert len(site.store) == 6
    site.clock.advance(600)
    assert [await site.passed(2, user=f"next-{number}") for number in range(5)] == [1] * 5


async def test_a_clock_that_is_set_back_does_not_stop_the_traffic(site: Site) -> None:
    site.limit(LimitSettings(requests=5), LimitSettings(requests=5, window="month", per="key"))
    site.clock.advance(400 * 86_400)
    assert await site.passed(9) == 5
    site.clock.advance(-400 * 86_400)
    assert await site.passed(9) == 5


async def test_a_clock_that_is_corrected_a_little_forgets_nothing(site: Site) -> None:
    site.limit(LimitSettings(requests=5))
    assert await site.passed(9) == 5
    site.clock.advance(-0.2)
    assert await site.passed(9) == 0
