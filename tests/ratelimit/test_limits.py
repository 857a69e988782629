"""What users hold: policies by name, costs, keys, dry runs, counts, and the limiters."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import anyio
import pytest

from undercroft._core.bound import bind
from undercroft._core.clock import VirtualClock
from undercroft._core.errors import ConfigError, NotBoundError
from undercroft.connections.redis import RedisConnection
from undercroft.connections.redis._settings import SCHEMES as REDIS_SCHEMES
from undercroft.monitoring import get_counter
from undercroft.ratelimit import (
    API_RATE_LIMIT,
    AUTH_RATE_LIMIT,
    Concurrency,
    ConcurrencyLimiter,
    CostTooLargeError,
    FixedWindow,
    FixedWindowLimiter,
    Gcra,
    GcraLimiter,
    LeakyBucketLimiter,
    QuotaLimiter,
    Rate,
    RateLimitDefinitionError,
    RateLimitedError,
    RateLimits,
    RatePolicy,
    SlidingWindow,
    SlidingWindowLimiter,
    SlotTimeoutError,
    TokenBucket,
    TokenBucketLimiter,
    UnknownPolicyError,
    check_rate_limit,
    create_rate_limits,
    fingerprint,
    secret_key,
    to_rate,
)
from undercroft.ratelimit._schemes import SCHEMES
from undercroft.ratelimit.memory import MemoryLimits
from undercroft.ratelimit.redis import RedisLimits

pytestmark = pytest.mark.anyio

API = RatePolicy("api", [SlidingWindow(5, "1m"), TokenBucket(3, "1/s")], tiers={"pro": SlidingWindow(50, "1m")})


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def limits(clock: VirtualClock) -> AsyncIterator[RateLimits]:
    async with create_rate_limits("memory://", [API, AUTH_RATE_LIMIT], clock=clock) as limits:
        yield limits


# --- Policies ---------------------------------------------------------------------------------------------------------


async def test_unknown_policy_offers_near_names(limits: RateLimits) -> None:
    with pytest.raises(UnknownPolicyError) as raised:
        await limits.check("apl", "key")
    assert raised.value.near == ("api",)
    assert "known: api, auth" in str(raised.value)


async def test_unknown_tier_offers_near_names(limits: RateLimits) -> None:
    with pytest.raises(UnknownPolicyError, match="no tier 'por'") as raised:
        await limits.check("api", "key", tier="por")
    assert raised.value.near == ("pro",)


async def test_policy_of_tiers_only_needs_one(limits: RateLimits) -> None:
    with pytest.raises(UnknownPolicyError, match="no tier was given"):
        await limits.check(RatePolicy("tiers", tiers={"free": SlidingWindow(1, 1)}), "key")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: RatePolicy("api", []),
        lambda: RatePolicy("", SlidingWindow(1, 1)),
        lambda: RatePolicy("a b", SlidingWindow(1, 1)),
        lambda: RatePolicy("{a}", SlidingWindow(1, 1)),
        lambda: RatePolicy("api", SlidingWindow(1, 1), fail="opne"),  # type: ignore[arg-type] # what is tested
        lambda: RatePolicy("api", "5/s"),
        lambda: RatePolicy("api", [SlidingWindow(1, 60), SlidingWindow(2, "1m")]),
        lambda: SlidingWindow(0, 1),
        lambda: SlidingWindow(1, 0),
        lambda: SlidingWindow(1, 1, "fog"),  # type: ignore[arg-type] # what is tested
        lambda: SlidingWindow(1, 1, "counter", 0),
        lambda: TokenBucket(5, "fast"),
        lambda: TokenBucket(5, 0),
        lambda: TokenBucket(True),
        lambda: TokenBucket(2**50, "1/d"),
        lambda: Gcra("1 per fortnight"),
        lambda: FixedWindow(1.5, 1),  # type: ignore[arg-type] # what is tested
        lambda: Concurrency(-1),
        lambda: create_rate_limits("memory://", [API, RatePolicy("api", SlidingWindow(1, 1))]),
        lambda: create_rate_limits("memory://?size=3"),
        lambda: create_rate_limits("postgres://h/db"),
    ],
)
def test_wrong_definition_is_refused_where_it_is_made(wrong: object) -> None:
    with pytest.raises(ConfigError):
        wrong()  # type: ignore[operator] # a lambda


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("5/s", Rate(5, "1s")),
        ("100/minute", Rate(100, "1m")),
        ("10 per 5m", Rate(10, "5m")),
        ("0.5/hours", Rate(0.5, "1h")),
        (2.5, Rate(2.5)),
        ("1/1h30m", Rate(1, "1h30m")),
    ],
)
def test_rates_are_read(text: str, rate: Rate) -> None:
    assert to_rate(text, name="rate") == rate


# --- Costs and keys ---------------------------------------------------------------------------------------------------


async def test_cost_above_the_limit_is_an_error_and_nothing_is_counted(limits: RateLimits) -> None:
    with pytest.raises(CostTooLargeError, match="smallest limit is 3"):
        await limits.check("api", "key", cost=4)
    assert (await limits.peek("api", "key")).remaining == 3


@pytest.mark.parametrize("cost", [-1, 1.0, True, "1"])
async def test_cost_is_a_whole_number(limits: RateLimits, cost: int) -> None:
    with pytest.raises(RateLimitDefinitionError, match="cost"):
        await limits.check("api", "key", cost=cost)


@pytest.mark.parametrize("key", ["", None, b"key", 7])
async def test_key_is_text(limits: RateLimits, key: str) -> None:
    with pytest.raises(RateLimitDefinitionError, match="key"):
        await limits.check("api", key)


@pytest.mark.redis
async def test_secret_is_in_no_key_list_or_line(
    connection: RedisConnection, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    limits = RateLimits(RedisLimits(connection, prefix=prefix), [AUTH_RATE_LIMIT])
    key = secret_key("sk_live_hunter2")
    for _ in range(7):
        await limits.check("auth", key)
    stored = [name async for name in connection.client.scan_iter(match=f"{prefix}:*")]
    [listed] = await limits.limited()
    assert stored
    assert listed.key == key
    assert not any("hunter2" in text for text in [*map(str, stored), str(listed), caplog.text])
    await limits.reset("auth", key)
    assert [name async for name in connection.client.scan_iter(match=f"{prefix}:*")] == []


def test_fingerprint_is_the_same_for_the_same_text() -> None:
    assert fingerprint("a") == fingerprint("a") != fingerprint("b")
    assert len(fingerprint("a")) == 32
    assert fingerprint("\ud800")


# --- Decisions --------------------------------------------------------------------------------------------------------


async def test_decision_tells_limit_window_and_instants(limits: RateLimits, clock: VirtualClock) -> None:
    decision = await limits.check("auth", "key")
    assert (decision.policy, decision.limit, decision.window, decision.cost) == ("auth", 5, 900, 1)
    assert (decision.used, decision.remaining, decision.failure) == (1, 4, None)
    assert decision.reset_at.timestamp() == pytest.approx(clock.time() + 900)


async def test_require_raises_what_http_needs(limits: RateLimits) -> None:
    await limits.require("auth", "key", cost=5)
    with pytest.raises(RateLimitedError) as raised:
        await limits.require("auth", "key")
    assert raised.value.http_status == 429
    assert raised.value.retry_after == 900
    assert not raised.value.decision.allowed


async def test_dry_run_decides_and_counts_and_refuses_nothing(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with create_rate_limits("memory://", clock=clock) as limits:
        limiter = SlidingWindowLimiter(2, "1m", name="dry", store=limits, dry_run=True)
        decisions = [await limiter.require("key") for _ in range(4)]
        assert [decision.allowed for decision in decisions] == [True] * 4
        assert [decision.refused_in_dry_run for decision in decisions] == [False, False, True, True]
        assert _counted("dry", "dry_run") == 2
        assert [one.key for one in await limits.limited(limiter.policy)] == ["key"]
        assert caplog.text.count("would refuse") == 1


async def test_checks_are_counted_by_policy_and_outcome(limits: RateLimits) -> None:
    before = _counted("auth", "allowed"), _counted("auth", "limited")
    for _ in range(7):
        await limits.check("auth", "counted")
    assert (_counted("auth", "allowed") - before[0], _counted("auth", "limited") - before[1]) == (5, 2)


def _counted(policy: str, outcome: str) -> float:
    return get_counter("undercroft_rate_limit_checks_total", {"policy": policy, "outcome": outcome})


async def test_quota_warns_once_when_it_is_nearly_used_up(limits: RateLimits, caplog: pytest.LogCaptureFixture) -> None:
    quota = QuotaLimiter(10, "month", store=limits)
    near = [(await quota.check("key", 2)).is_near_limit for _ in range(5)]
    assert near == [False, False, False, True, True]
    assert caplog.text.count("nearly used up") == 1


# --- Memory -----------------------------------------------------------------------------------------------------------


async def test_memory_is_bounded_by_the_keys_that_say_something(clock: VirtualClock) -> None:
    store = MemoryLimits(clock=clock)
    limits, policy = RateLimits(store, clock=clock), RatePolicy("p", TokenBucket(10, "10/s"))
    for number in range(20_000):
        await limits.check(policy, f"key{number}")
        if number % 100 == 0:
            await clock.advance(1)
    assert sum(len(space) for space in store._spaces.values()) < 500


async def test_state_that_still_counts_is_not_swept(clock: VirtualClock) -> None:
    store = MemoryLimits(clock=clock)
    limits, policy = RateLimits(store, clock=clock), RatePolicy("p", SlidingWindow(1, "1h"))
    for number in range(2000):
        await limits.check(policy, f"key{number}")
    assert not any([(await limits.check(policy, f"key{number}")).allowed for number in range(2000)])


# --- Limiters ---------------------------------------------------------------------------------------------------------


async def test_each_limiter_decides(limits: RateLimits) -> None:
    for limiter in (
        TokenBucketLimiter(2, "1/m", store=limits),
        TokenBucketLimiter(capacity=2, refill="1/h", store=limits, name="named"),
        SlidingWindowLimiter(2, "1m", store=limits),
        SlidingWindowLimiter(limit=2, window="1m", exact=False, store=limits),
        FixedWindowLimiter(2, "1h", store=limits),
        GcraLimiter("1/m", 2, store=limits),
        LeakyBucketLimiter(2, "1/m", store=limits, name="leaky"),
        QuotaLimiter(2, "year", store=limits, rolling=True),
    ):
        assert [(await limiter.consume("key")).allowed for _ in range(3)] == [True, True, False]
        with pytest.raises(RateLimitedError):
            await limiter.require("key")
        await limiter.refund("key")
        assert (await limiter.peek("key")).remaining == 1
        await limiter.reset("key")
        assert (await limiter.check("key", 2)).allowed


async def test_decorated_function_must_pass_first(limits: RateLimits) -> None:
    limiter = SlidingWindowLimiter(1, "1m", store=limits)

    @limiter.limited(lambda user, *, loud: f"user:{user}")
    async def greet(user: str, *, loud: bool) -> str:
        return f"hello {user}{'!' * loud}"

    assert await greet("ann", loud=True) == "hello ann!"
    assert await greet("bob", loud=False) == "hello bob"
    with pytest.raises(RateLimitedError):
        await greet("ann", loud=True)


class _Parts:
    def __init__(self, limits: RateLimits) -> None:
        self._limits = limits

    def get_part(self, name: str) -> object:
        assert name == "limits"
        return self._limits


async def test_functions_act_on_the_bound_limits(limits: RateLimits) -> None:
    limiter = TokenBucketLimiter(1, "1/m")
    with pytest.raises(NotBoundError):
        await limiter.check("key")
    with bind(_Parts(limits)):
        assert (await limiter.check("key")).allowed
        assert [(await check_rate_limit("key", 2, "1m")).remaining for _ in range(2)] == [1, 0]
        assert not (await check_rate_limit("key", 2, 60)).allowed
        assert (await check_rate_limit("key", 2, "2m")).allowed
    with pytest.raises(NotBoundError):
        await check_rate_limit("key", 2, "1m")


async def test_slot_is_waited_for(limits: RateLimits, clock: VirtualClock) -> None:
    limiter = ConcurrencyLimiter(1, store=limits)
    order: list[str] = []

    async def wait() -> None:
        async with limiter.slot("key", wait="10s"):
            order.append("second")

    async with anyio.create_task_group() as tasks:
        async with limiter.slot("key"):
            tasks.start_soon(wait)
            await clock.advance(3)
            order.append("first")
        await clock.advance(1)
    assert order == ["first", "second"]


async def test_wait_for_a_slot_ends(limits: RateLimits, clock: VirtualClock) -> None:
    limiter, raised = ConcurrencyLimiter(1, store=limits), []

    async def wait() -> None:
        with pytest.raises(SlotTimeoutError) as info:
            async with limiter.slot("key", wait="2s"):
                raise AssertionError("it was free")
        raised.append(info.value)

    async with limiter.slot("key"), anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await clock.advance(3)
    assert len(raised) == 1


async def test_slot_of_a_cancelled_block_is_given_back(limits: RateLimits) -> None:
    limiter = ConcurrencyLimiter(1, store=limits)
    with anyio.move_on_after(0.01):
        async with limiter.slot("key"):
            await anyio.sleep_forever()
    assert (await limiter.peek("key")).remaining == 1


# --- Presets and schemes ----------------------------------------------------------------------------------------------


def test_presets_are_what_they_are_called() -> None:
    assert AUTH_RATE_LIMIT.limits == SlidingWindow(5, "15m")
    assert AUTH_RATE_LIMIT.fail == "closed"
    assert API_RATE_LIMIT.limits == SlidingWindow(100, "1m")
    assert API_RATE_LIMIT.fail == "local"


def test_every_scheme_of_redis_has_its_store() -> None:
    assert {"memory", "sqlite", *REDIS_SCHEMES} == set(SCHEMES.names)
