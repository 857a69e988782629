"""The store is away: each policy does what it declares, soon, and the store decides again when it is back."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from tests._services._own import own_server
from tests._services._provide import is_ci, skip_or_fail
from tests._services._server import Service
from tests._services.redis import Redis
from undercroft._core.sqlite import SqliteOptions
from undercroft.ratelimit import (
    ConcurrencyLimiter,
    Fail,
    Failure,
    RateLimits,
    RateLimitUnavailableError,
    RatePolicy,
    SlidingWindow,
    create_rate_limits,
)
from undercroft.ratelimit.sqlite import SqliteLimits
from undercroft.testing.outages import OUTAGES, Outage, RedisOutages, SqliteOutages

pytestmark = pytest.mark.anyio
TIMEOUT_S = 0.25
KINDS = [("redis", outage) for outage in OUTAGES] + [
    ("sqlite", outage) for outage in OUTAGES if outage is not Outage.CUT
]
POLICIES = {fail: RatePolicy(fail, SlidingWindow(3, "1h"), fail=fail) for fail in ("open", "closed", "local")}


@dataclass(slots=True)
class Rig:
    """Limits, and a way to take their store away."""

    limits: RateLimits
    outages: RedisOutages | SqliteOutages


@pytest.fixture(scope="module")
def server() -> AsyncIterator[Service]:
    """A Redis of this module's own."""
    missing = Redis().missing()
    if missing:
        skip_or_fail(missing, is_ci=is_ci())
    with own_server(Redis()) as server:
        yield server


@asynccontextmanager
async def sqlite_rig(path: Path) -> AsyncIterator[Rig]:
    store = SqliteLimits(path, options=SqliteOptions(busy_timeout_s=0.1))
    async with RateLimits(store, POLICIES.values(), timeout=TIMEOUT_S) as limits:
        await limits.check("open", "warm")
        with SqliteOutages(path, run=store._store.read) as outages:
            yield Rig(limits, outages)


@asynccontextmanager
async def redis_rig(server: Service) -> AsyncIterator[Rig]:
    async with (
        RedisOutages(server.host, server.port) as outages,
        create_rate_limits(outages.url, POLICIES.values(), timeout=TIMEOUT_S) as limits,
    ):
        for policy in POLICIES:
            for key in ("key", "other", "slot"):
                await limits.reset(policy, key)
        yield Rig(limits, outages)


@pytest.fixture
async def rig(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    async with (
        redis_rig(request.getfixturevalue("server")) if kind == "redis" else sqlite_rig(tmp_path / "limits.db") as rig
    ):
        yield rig


async def answers_again(limits: RateLimits, policy: str) -> None:
    with anyio.fail_after(5):
        while (await limits.check(policy, "again")).failure is not None:
            await limits.reset(policy, "again")
            await anyio.sleep(0.05)


@pytest.mark.parametrize("fail", POLICIES)
@pytest.mark.parametrize(("kind", "outage"), KINDS)
async def test_policy_does_what_it_declares(rig: Rig, outage: Outage, fail: Fail) -> None:
    async with rig.outages.during(outage):
        began = time.monotonic()
        decisions = [await rig.limits.check(fail, "key") for _ in range(6)]
        assert time.monotonic() - began < 3 * TIMEOUT_S + 1
    allowed = {"open": [True] * 6, "closed": [False] * 6, "local": [True] * 3 + [False] * 3}
    assert [decision.allowed for decision in decisions] == allowed[fail]
    assert all(decision.failure is not None for decision in decisions)
    assert decisions[-1].failure is Failure.PAUSED
    assert [decision.is_unavailable for decision in decisions] == [fail == "closed"] * 6
    await answers_again(rig.limits, fail)


@pytest.mark.parametrize(("kind", "outage"), KINDS)
async def test_what_cannot_be_decided_otherwise_says_that_the_store_is_away(rig: Rig, outage: Outage) -> None:
    async with rig.outages.during(outage):
        with pytest.raises(RateLimitUnavailableError):
            await rig.limits.require("closed", "key")
        if outage is not Outage.OUT_OF_MEMORY:  # where forgetting needs no room
            with pytest.raises(RateLimitUnavailableError):
                await rig.limits.reset("closed", "key")


@pytest.mark.parametrize("kind", ["redis"])
async def test_loop_goes_on_while_the_store_stalls_and_callers_wait_once(rig: Rig) -> None:
    gaps: list[float] = []

    async def tick() -> None:
        last = time.monotonic()
        while True:
            await anyio.sleep(0.005)
            gaps.append(time.monotonic() - last)
            last = time.monotonic()

    async with rig.outages.during(Outage.STALLED), anyio.create_task_group() as tasks:
        tasks.start_soon(tick)
        for _ in range(3):
            await rig.limits.check("local", "other")
        began = time.monotonic()
        for number in range(300):
            await rig.limits.check("local", f"key{number}")
        assert time.monotonic() - began < TIMEOUT_S + 0.5  # at most one of them asks
        await anyio.sleep(0.1)
        tasks.cancel_scope.cancel()
    assert max(gaps) < 0.2


@pytest.mark.parametrize("kind", ["redis", "sqlite"])
async def test_slot_that_was_taken_here_is_given_back_here(rig: Rig) -> None:
    limiter = ConcurrencyLimiter(1, store=rig.limits, name="slot")
    async with rig.outages.during(Outage.REFUSED), limiter.slot("slot") as decision:
        assert decision.failure is not None
        assert not (await limiter.check("slot")).allowed
    await answers_again(rig.limits, "open")
    async with limiter.slot("slot") as decision:
        assert decision.failure is None


@pytest.mark.parametrize("kind", ["redis"])
async def test_blocked_caller_costs_the_store_nothing(rig: Rig) -> None:
    for _ in range(4):
        last = await rig.limits.check("closed", "key")
    assert not last.allowed
    async with rig.outages.during(Outage.STALLED):
        repeated = [await rig.limits.check("closed", "key") for _ in range(100)]
    assert all(not one.allowed and one.failure is None for one in repeated)
    assert last.retry_after > repeated[-1].retry_after > last.retry_after - 1
