"""The scripts of Redis and the rules of Python decide the same, to the microsecond and the unit."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests._services._server import Service
from undercroft._core.clock import VirtualClock
from undercroft.connections.redis import RedisConnection
from undercroft.ratelimit import (
    Concurrency,
    FixedWindow,
    Gcra,
    Limit,
    Quota,
    RateLimitDefinitionError,
    RatePolicy,
    SlidingWindow,
    TokenBucket,
)
from undercroft.ratelimit._calendar import PERIODS
from undercroft.ratelimit.memory import MemoryLimits
from undercroft.ratelimit.redis import RedisLimits

START_US = 1_772_000_000_123_456

small = st.integers(1, 12)
spans = st.sampled_from([0.000_007, 0.001, 0.333_333, 1, 2.5, 60, 3600])
rates = st.builds(
    lambda count, per: f"{count}/{per}", st.integers(1, 999_983), st.sampled_from(["1s", "7s", "1m", "1d"])
)
zones = st.sampled_from(["UTC", "Europe/Berlin"])


@st.composite
def large_buckets(draw: st.DrawFn) -> Limit:
    capacity, rate = draw(st.integers(1, 2**40)), draw(rates)
    try:
        return TokenBucket(capacity, rate)
    except RateLimitDefinitionError:  # it would take more than a century to fill
        return TokenBucket(1, rate)


without_memory = st.one_of(
    st.builds(TokenBucket, st.integers(1, 50), rates),
    st.builds(Gcra, rates, small),
    large_buckets(),
    st.builds(FixedWindow, small, spans),
    st.builds(Quota, small, st.sampled_from(PERIODS), zones),
)
limits = st.one_of(
    without_memory,
    st.builds(SlidingWindow, small, spans, st.just("log")),
    st.builds(SlidingWindow, small, spans, st.just("counter"), st.integers(1, 7)),
    st.builds(Concurrency, st.integers(1, 4), spans),
    st.builds(Quota, small, st.just("day"), rolling=st.just(True)),
)
forward = st.one_of(st.integers(0, 10), st.integers(0, 2_000_000), st.integers(0, 10**11))
back = st.one_of(st.integers(-5_000_000, -1), st.just(-(10**10)))


def several(kinds: st.SearchStrategy[Limit]) -> st.SearchStrategy[list[Limit]]:
    return st.lists(kinds, min_size=1, max_size=3, unique_by=lambda limit: limit.rule().part)


def steps(*whats: str, by: st.SearchStrategy[int]) -> st.SearchStrategy[list[tuple[str, int, int]]]:
    return st.lists(st.tuples(st.sampled_from(whats), by, st.integers(1, 5)), max_size=25)


@pytest.fixture(scope="module")
def runner(redis: Service) -> Iterator[tuple[asyncio.Runner, RedisConnection]]:
    with asyncio.Runner() as runner:
        connection = RedisConnection(f"redis://{redis.host}:{redis.port}/0")
        runner.run(connection.__aenter__())
        yield runner, connection
        runner.run(connection.__aexit__(None, None, None))


class _Now(VirtualClock):
    """Whole microseconds, which a float of epoch seconds has not room for."""

    def __init__(self) -> None:
        super().__init__()
        self.us = START_US


class _Memory(MemoryLimits):
    def __init__(self, clock: _Now) -> None:
        super().__init__(clock=clock)
        self._at = clock

    def _now(self) -> int:
        return self._at.us

    def _now_of(self, rule: object) -> int:
        return self._at.us


checked = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.redis
@checked
@given(kinds=several(limits), steps=steps("check", "check", "check", "peek", "refund", "release", "extend", by=forward))
def test_redis_decides_as_python_does(
    runner: tuple[asyncio.Runner, RedisConnection], kinds: list[Limit], steps: list[tuple[str, int, int]]
) -> None:
    run, connection = runner
    run.run(_compare(connection, RatePolicy("differential", kinds), steps))


at_the_edges = st.sampled_from([0, 1, 250_000, 500_000, 700_001, 1_999_999, 2_000_000])
"""A whole window of what follows, one microsecond less, and parts of it."""

EACH: dict[str, Limit] = {
    "counter": SlidingWindow(8, 2, "counter", 4),
    "log": SlidingWindow(8, 2, "log"),
    "bucket": TokenBucket(8, "3/s"),
    "window": FixedWindow(8, 2),
    "calendar": Quota(8, "hour"),
    "slots": Concurrency(3, 2),
}


@pytest.mark.redis
@pytest.mark.parametrize("name", EACH)
@settings(checked, max_examples=80)
@given(steps=steps("check", "check", "refund", by=at_the_edges))
def test_redis_refunds_and_forgets_as_python_does(
    runner: tuple[asyncio.Runner, RedisConnection], name: str, steps: list[tuple[str, int, int]]
) -> None:
    run, connection = runner
    run.run(_compare(connection, RatePolicy("differential", EACH[name]), steps))


@pytest.mark.redis
@checked
@given(kinds=several(without_memory), steps=steps("check", "check", "peek", "refund", by=forward | back))
def test_redis_decides_as_python_does_when_its_clock_is_set_back(
    runner: tuple[asyncio.Runner, RedisConnection], kinds: list[Limit], steps: list[tuple[str, int, int]]
) -> None:
    run, connection = runner
    run.run(_compare(connection, RatePolicy("differential", kinds), steps))


@pytest.mark.redis
@checked
@given(kind=limits, filled=st.integers(1, 12), by=back, after=steps("check", "refund", by=st.integers(0, 10**6)))
def test_what_the_future_left_is_taken_to_be_of_now(
    runner: tuple[asyncio.Runner, RedisConnection],
    kind: Limit,
    filled: int,
    by: int,
    after: list[tuple[str, int, int]],
) -> None:
    run, connection = runner
    steps = [("check", 0, 1)] * filled + [("check", by, 1), *after]
    run.run(_compare(connection, RatePolicy("differential", kind), steps))


# Of this process alone: what a failed run leaves behind must not meet another run.
_PREFIX = f"test-limits-lua-{os.getpid()}-{uuid.uuid4().hex[:8]}"
_numbers = iter(range(10**9))


async def _compare(connection: RedisConnection, policy: RatePolicy, steps: list[tuple[str, int, int]]) -> None:
    plan, now, key = policy.plan(), _Now(), f"key{next(_numbers)}"
    memory = _Memory(now)
    redis = RedisLimits(connection, prefix=_PREFIX, clock=_At(now), time_us=lambda: now.us)
    token = ""
    try:
        for number, (what, by, cost) in enumerate(steps):
            now.us = max(START_US - 10**10, now.us + by)
            cost = min(cost, plan.cost_most)
            if what == "check":
                mine = memory._check_all(plan, key, cost, f"t{number}")
                assert await redis.check(plan, key, cost, f"t{number}") == mine
                token = token if any(retry for retry, _, _ in mine[1]) else f"t{number}"
            elif what == "peek":
                assert await redis.peek(plan, key, cost) == memory.peek_now(plan, key, cost)
            elif what == "refund":
                await redis.refund(plan, key, cost)
                await memory.refund(plan, key, cost)
            elif what == "release":
                assert await redis.release(plan, key, token) == await memory.release(plan, key, token)
            else:
                assert await redis.extend(plan, key, token) == await memory.extend(plan, key, token)
    finally:
        await redis.reset(plan.policy, key, plan.rules)


class _At(VirtualClock):
    def __init__(self, now: _Now) -> None:
        super().__init__()
        self._at = now

    def time(self) -> float:
        return self._at.us / 1e6
