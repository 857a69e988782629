"""What every store of rate limits promises, as tests. Subclass it in your own suite and give it two fixtures:

    class TestMyStore(LimitStoreConformance):
        @pytest.fixture
        async def store(self, clock):
            async with MyLimits(clock=clock) as store:
                yield store

        @pytest.fixture
        def pass_time(self, clock):          # only where the store does not go by the fixture `clock`
            return clock.advance

The store must go by the clock of the fixture, or `pass_time` must let time pass for it. Needs pytest with anyio.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from undercroft._core.clock import VirtualClock
from undercroft.ratelimit import (
    Concurrency,
    ConcurrencyLimiter,
    FixedWindow,
    Gcra,
    LeakyBucket,
    Limit,
    LimitStore,
    Quota,
    RateLimitedError,
    RateLimits,
    RatePolicy,
    SlidingWindow,
    TokenBucket,
)

PassTime = Callable[[float], Awaitable[None]]

LIMITS: dict[str, Limit] = {
    "token bucket": TokenBucket(5, "1/s"),
    "gcra": Gcra("1/s", burst=5),
    "leaky bucket": LeakyBucket(5, "1/s"),
    "fixed window": FixedWindow(5, "10s"),
    "sliding log": SlidingWindow(5, "10s"),
    "sliding counter": SlidingWindow(5, "10s", kind="counter"),
    "calendar quota": Quota(5, "hour"),
    "rolling quota": Quota(5, "hour", rolling=True),
}
"""Each allows five at once."""

_A_LITTLE = 0.000_01
"""Ten microseconds: what floats of epoch seconds may be off by, with room."""


class LimitStoreConformance:
    """The promises of `undercroft.ratelimit.LimitStore`, one test each."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def clock(self) -> VirtualClock:
        """The clock that the store under test reads."""
        return VirtualClock(1_750_000_001.25)

    @pytest.fixture
    def pass_time(self, clock: VirtualClock) -> PassTime:
        """Lets seconds pass for the store."""
        return clock.advance

    @pytest.fixture
    def limits(self, store: LimitStore, clock: VirtualClock) -> RateLimits:
        """Limits over the store, which is open already."""
        return RateLimits(store, clock=clock, timeout="10s", block_locally=0)

    async def test_store_has_a_name_and_answers(self, store: LimitStore) -> None:
        assert store.name.isidentifier()
        await store.ping()

    # --- Each kind --------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("kind", LIMITS)
    async def test_five_are_allowed_and_the_sixth_is_not(self, limits: RateLimits, kind: str) -> None:
        policy = RatePolicy("p", LIMITS[kind])
        decisions = [await limits.check(policy, "key") for _ in range(6)]
        assert [decision.allowed for decision in decisions] == [True] * 5 + [False]
        assert [decision.remaining for decision in decisions] == [4, 3, 2, 1, 0, 0]
        assert {decision.limit for decision in decisions} == {5}
        assert all(decision.retry_after == 0 for decision in decisions[:5])
        assert decisions[5].retry_after > 0

    @pytest.mark.parametrize("kind", LIMITS)
    async def test_same_call_is_allowed_after_retry_after_and_not_before(
        self, limits: RateLimits, pass_time: PassTime, kind: str
    ) -> None:
        policy = RatePolicy("p", LIMITS[kind])
        for _ in range(2):
            await limits.check(policy, "key", cost=2)
            await pass_time(0.3)
        refused = await limits.check(policy, "key", cost=3)
        assert not refused.allowed
        await pass_time(refused.retry_after - _A_LITTLE)
        assert not (await limits.check(policy, "key", cost=3)).allowed
        await pass_time(2 * _A_LITTLE)
        assert (await limits.check(policy, "key", cost=3)).allowed

    @pytest.mark.parametrize("kind", LIMITS)
    async def test_refused_call_neither_consumes_nor_lengthens_the_wait(
        self, limits: RateLimits, pass_time: PassTime, kind: str
    ) -> None:
        policy = RatePolicy("p", LIMITS[kind])
        await limits.check(policy, "key", cost=5)
        first = await limits.check(policy, "key")
        for _ in range(20):
            await pass_time(first.retry_after / 40)
            assert not (await limits.check(policy, "key")).allowed
        await pass_time(first.retry_after / 2 + _A_LITTLE)
        assert (await limits.check(policy, "key")).allowed

    @pytest.mark.parametrize("kind", LIMITS)
    async def test_all_is_there_again_after_reset_after(
        self, limits: RateLimits, pass_time: PassTime, kind: str
    ) -> None:
        policy = RatePolicy("p", LIMITS[kind])
        used = await limits.check(policy, "key", cost=4)
        await pass_time(used.reset_after + _A_LITTLE)
        seen = await limits.peek(policy, "key")
        assert (seen.remaining, seen.reset_after) == (5, 0)

    @pytest.mark.parametrize("kind", LIMITS)
    async def test_keys_and_policies_count_apart(self, limits: RateLimits, kind: str) -> None:
        one, other = RatePolicy("one", LIMITS[kind]), RatePolicy("other", LIMITS[kind])
        await limits.check(one, "a", cost=5)
        assert (await limits.check(one, "b", cost=5)).allowed
        assert (await limits.check(other, "a", cost=5)).allowed
        assert not (await limits.check(one, "a")).allowed

    @pytest.mark.parametrize("kind", LIMITS)
    async def test_peek_tells_what_check_would_and_counts_nothing(self, limits: RateLimits, kind: str) -> None:
        policy = RatePolicy("p", LIMITS[kind])
        assert (await limits.peek(policy, "key")).remaining == 5
        await limits.check(policy, "key", cost=3)
        for cost, is_allowed in ((1, True), (2, True), (3, False)):
            seen = await limits.peek(policy, "key", cost=cost)
            assert (seen.allowed, seen.remaining) == (is_allowed, 2)
            assert (seen.retry_after == 0) is is_allowed
        assert (await limits.check(policy, "key", cost=0)).remaining == 2
        assert (await limits.check(policy, "key", cost=2)).remaining == 0

    @pytest.mark.parametrize("kind", LIMITS)
    async def test_reset_gives_all_back(self, limits: RateLimits, kind: str) -> None:
        policy = RatePolicy("p", LIMITS[kind])
        await limits.check(policy, "key", cost=5)
        await limits.check(policy, "other", cost=5)
        await limits.reset(policy, "key")
        assert (await limits.peek(policy, "key")).remaining == 5
        assert (await limits.peek(policy, "other")).remaining == 0

    @pytest.mark.parametrize("kind", LIMITS)
    async def test_refund_gives_back_what_is_used_and_no_more(self, limits: RateLimits, kind: str) -> None:
        policy = RatePolicy("p", LIMITS[kind])
        await limits.check(policy, "key", cost=5)
        await limits.refund(policy, "key", 2)
        assert (await limits.peek(policy, "key")).remaining == 2
        await limits.refund(policy, "key", 5)
        assert (await limits.peek(policy, "key")).remaining == 5
        await limits.refund(policy, "fresh", 3)
        assert (await limits.peek(policy, "fresh")).remaining == 5

    @pytest.mark.parametrize("kind", LIMITS)
    async def test_limit_that_is_lowered_leaves_nothing_and_not_less(self, limits: RateLimits, kind: str) -> None:
        lowered: dict[str, Limit] = {
            "token bucket": TokenBucket(2, "1/s"),
            "gcra": Gcra("1/s", 2),
            "leaky bucket": LeakyBucket(2, "1/s"),
        }
        plain = LIMITS[kind]
        less: Limit
        if isinstance(plain, Quota):
            less = Quota(2, plain.period, rolling=plain.rolling)
        elif isinstance(plain, SlidingWindow):
            less = SlidingWindow(2, plain.window, kind=plain.kind)
        else:
            less = lowered.get(kind, FixedWindow(2, "10s"))
        await limits.check(RatePolicy("p", plain), "key", cost=5)
        decision = await limits.check(RatePolicy("p", less), "key")
        assert (decision.allowed, decision.remaining) == (False, 0)

    @pytest.mark.parametrize("key", ["ä ✓ 𝄞", "a}b{c", "' OR 1=1 --", "a b\nc", "%s*?[x]", "x" * 500, "{}", "\x00"])
    async def test_key_may_be_any_text(self, limits: RateLimits, key: str) -> None:
        policy = RatePolicy("p", [TokenBucket(1), SlidingWindow(1, "1m")])
        assert (await limits.check(policy, key)).allowed
        assert not (await limits.check(policy, key)).allowed
        assert (await limits.check(policy, f"{key}.")).allowed
        assert [(one.policy, len(one.key) <= 200) for one in await limits.limited(policy)] == [("p", True)]
        await limits.reset(policy, key)
        assert (await limits.check(policy, key)).allowed

    # --- Idleness ---------------------------------------------------------------------------------------------------

    async def test_idle_bucket_gets_what_the_rate_gives_and_no_more(
        self, limits: RateLimits, pass_time: PassTime
    ) -> None:
        policy = RatePolicy("p", TokenBucket(100, "1/s"))
        await limits.check(policy, "key", cost=100)
        await pass_time(4)
        assert (await limits.peek(policy, "key")).remaining == 4
        await pass_time(95.5)
        assert (await limits.peek(policy, "key")).remaining == 99

    async def test_rate_is_kept_exactly(self, limits: RateLimits, pass_time: PassTime) -> None:
        policy = RatePolicy("p", TokenBucket(7, "7/s"))
        await limits.check(policy, "key", cost=7)
        for _ in range(7):
            decision = await limits.check(policy, "key")
            assert not decision.allowed
            await pass_time(1 / 7 + 0.000_001)
            assert (await limits.check(policy, "key")).allowed
        await pass_time(3600)
        assert (await limits.check(policy, "key", cost=7)).allowed

    async def test_fixed_window_begins_with_the_clock(
        self, limits: RateLimits, clock: VirtualClock, pass_time: PassTime
    ) -> None:
        policy = RatePolicy("p", FixedWindow(3, "1m"))
        await pass_time(60 - clock.time() % 60 - 0.5)
        await limits.check(policy, "key", cost=3)
        refused = await limits.check(policy, "key")
        assert refused.retry_after == pytest.approx(0.5, abs=1e-5)
        await pass_time(0.6)
        assert (await limits.check(policy, "key")).remaining == 2

    async def test_counter_never_lets_more_than_the_limit_through_a_window(
        self, limits: RateLimits, pass_time: PassTime
    ) -> None:
        policy = RatePolicy("p", SlidingWindow(10, "10s", kind="counter", precision=5))
        passed: list[float] = []
        now = 0.0
        for _ in range(200):
            if (await limits.check(policy, "key")).allowed:
                passed.append(now)
            await pass_time(0.21)
            now += 0.21
        assert max(sum(1 for at in passed if start <= at < start + 10) for start in passed) <= 10
        assert len(passed) >= 10 * now / 12 - 10

    # --- Several at once --------------------------------------------------------------------------------------------

    async def test_several_limits_are_charged_together_or_not_at_all(self, limits: RateLimits) -> None:
        policy = RatePolicy(
            "p", [SlidingWindow(10, "1h"), TokenBucket(3, "1/s"), FixedWindow(20, "1m"), Quota(30, "day")]
        )
        assert (await limits.check(policy, "key", cost=3)).allowed
        refused = await limits.check(policy, "key")
        assert not refused.allowed
        assert refused.limit == 3
        assert [one.allowed for one in refused.decisions] == [True, False, True, True]
        assert [one.remaining for one in refused.decisions] == [7, 0, 17, 27]
        assert [one.remaining for one in (await limits.peek(policy, "key")).decisions] == [7, 0, 17, 27]

    async def test_tier_keeps_what_was_counted_in_the_same_window(self, limits: RateLimits) -> None:
        policy = RatePolicy("p", tiers={"free": SlidingWindow(5, "1h"), "pro": SlidingWindow(50, "1h")})
        await limits.check(policy, "key", tier="free", cost=5)
        assert not (await limits.check(policy, "key", tier="free")).allowed
        assert (await limits.check(policy, "key", tier="pro")).remaining == 44

    # --- Slots ------------------------------------------------------------------------------------------------------

    async def test_slots_are_as_many_as_the_limit_and_come_back_by_token(self, limits: RateLimits) -> None:
        limiter = ConcurrencyLimiter(2, store=limits, name="p")
        first, second, third = [await limiter.check("key") for _ in range(3)]
        assert [first.allowed, second.allowed, third.allowed] == [True, True, False]
        assert first.token
        assert third.token is None
        assert await limiter.release("key", first.token)
        assert not await limiter.release("key", first.token)
        assert not await limiter.release("key", "somebody's")
        assert (await limiter.check("key")).allowed

    async def test_slot_comes_back_when_its_lease_ends(self, limits: RateLimits, pass_time: PassTime) -> None:
        limiter = ConcurrencyLimiter(1, lease="10s", store=limits, name="p")
        held = await limiter.check("key")
        assert held.token
        await pass_time(4)
        refused = await limiter.check("key")
        assert refused.retry_after == pytest.approx(6, abs=1e-5)
        assert await limiter.extend("key", held.token)
        await pass_time(refused.retry_after + _A_LITTLE)
        assert not (await limiter.check("key")).allowed
        await pass_time(4)
        assert (await limiter.check("key")).allowed
        assert not await limiter.release("key", held.token)
        assert not await limiter.extend("key", held.token)

    async def test_slot_is_held_for_its_block(self, limits: RateLimits) -> None:
        limiter = ConcurrencyLimiter(1, store=limits, name="p")

        async def fail_in_it() -> None:
            async with limiter.slot("key"):
                with pytest.raises(RateLimitedError):
                    await limiter.require("key")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail_in_it()
        async with limiter.slot("key") as decision:
            assert decision.remaining == 0

    async def test_slots_and_rates_are_one_step(self, limits: RateLimits) -> None:
        policy = RatePolicy("p", [Concurrency(1), TokenBucket(5, "1/m")])
        held = await limits.check(policy, "key", cost=2)
        assert held.token
        refused = await limits.check(policy, "key", cost=2)
        assert [one.remaining for one in refused.decisions] == [0, 3]
        assert await limits.release(policy, "key", held.token)
        assert (await limits.check(policy, "key", cost=3)).allowed

    # --- Who is limited ---------------------------------------------------------------------------------------------

    async def test_limited_lists_who_is_refused_now(
        self, limits: RateLimits, clock: VirtualClock, pass_time: PassTime
    ) -> None:
        short, long = RatePolicy("short", SlidingWindow(1, "10s")), RatePolicy("long", SlidingWindow(1, "1h"))
        start = clock.time()
        for policy, key in ((short, "a"), (long, "a"), (long, "b"), (long, "never refused")):
            await limits.check(policy, key)
        await pass_time(1)
        for policy, key in ((short, "a"), (long, "a"), (long, "a"), (long, "b")):
            await limits.check(policy, key)
        found = await limits.limited(long)
        assert sorted(one.key for one in found) == ["a", "b"]
        assert all(abs(one.since.timestamp() - start - 1) < 0.01 for one in found)
        assert all(abs(one.until.timestamp() - start - 3600) < 0.01 for one in found)
        assert all(one.refusals >= 1 for one in found)
        assert [one.key for one in await limits.limited(short)] == ["a"]
        assert len(await limits.limited(long, limit=1)) == 1
        await limits.reset(long, "a")
        await pass_time(20)
        assert [one.key for one in await limits.limited(long)] == ["b"]
        assert await limits.limited(short) == []

    async def test_limited_counts_refusals_from_the_first_after_the_last_wait(
        self, store: LimitStore, clock: VirtualClock, pass_time: PassTime
    ) -> None:
        await store.note("p", "key", wait_us=10_000_000, refusals=1)
        await pass_time(5)
        await store.note("p", "key", wait_us=10_000_000, refusals=7)
        [one] = await store.limited(["p"], 10)
        assert one.refusals == 8
        assert one.since.timestamp() == pytest.approx(clock.time() - 5, abs=0.01)
        await pass_time(11)
        await store.note("p", "key", wait_us=1_000_000, refusals=2)
        [one] = await store.limited(["p", "q"], 10)
        assert one.refusals == 2
        assert one.since.timestamp() == pytest.approx(clock.time(), abs=0.01)
