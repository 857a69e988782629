"""One computation, whoever asks, is cancelled, fails or invalidates meanwhile. What holds on every store is in the
conformance suite; this is about one process, its tasks and its time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests._spans import taken_spans
from undercroft._core.clock import VirtualClock
from undercroft.cache import (
    NO_EXPIRY,
    Cache,
    CacheOptionError,
    CacheValueError,
    ComputeCancelledError,
    ComputeCycleError,
    Item,
)
from undercroft.cache._envelope import Codec
from undercroft.cache._leased import LEASE_S
from undercroft.cache.memory import MemoryCache
from undercroft.monitoring import get_counter, get_histogram
from undercroft.testing.conformance.cache import Counting

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def store(clock: VirtualClock) -> MemoryCache:
    return MemoryCache(clock=clock)


@pytest.fixture
async def cache(store: MemoryCache, clock: VirtualClock) -> AsyncIterator[Cache[Any]]:
    async with Cache[Any](store, default_ttl=60, clock=clock) as cache:
        yield cache


async def turns(count: int = 30) -> None:
    for _ in range(count):
        await anyio.lowlevel.checkpoint()


# --- Who waits --------------------------------------------------------------------------------------------------------


async def test_a_leader_who_is_cancelled_does_not_cancel_it_for_the_others(cache: Cache[Any]) -> None:
    compute = Counting()
    compute.hold()
    leader = asyncio.create_task(cache.get_or_set("k", compute))
    await compute.begun.wait()
    others = [asyncio.create_task(cache.get_or_set("k", compute)) for _ in range(10)]
    await turns()
    leader.cancel()
    others[0].cancel()
    await turns()
    compute.go.set()
    done = await asyncio.gather(leader, *others, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in done] == [True, True, *[False] * 9]
    assert done[2:] == [1] * 9
    assert compute.calls == 1
    assert await cache.get("k") == 1


async def test_nothing_is_computed_for_nobody(cache: Cache[Any], store: MemoryCache) -> None:
    ended = False

    async def compute() -> int:
        nonlocal ended
        try:
            await anyio.sleep_forever()
        finally:
            ended = True
        return 1

    with anyio.move_on_after(0.05):
        await cache.get_or_set("k", compute)
    assert ended
    # The lease was given back: nobody has to wait for it.
    assert await store.take_lease("app", "k", "mine", ttl_s=5)


async def test_who_comes_while_it_is_being_cancelled_computes_anew(cache: Cache[Any]) -> None:
    calls = 0

    async def compute() -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await turns(5)
        return calls

    first = asyncio.create_task(cache.get_or_set("k", compute))
    await turns()
    first.cancel()
    await anyio.lowlevel.checkpoint()
    assert await cache.get_or_set("k", compute) == 2
    await asyncio.wait({first})


async def test_everybody_gets_the_error_and_it_is_raised_once(cache: Cache[Any]) -> None:
    compute = Counting(KeyError("no such user"))
    compute.hold()
    asking = [asyncio.create_task(cache.get_or_set("k", compute)) for _ in range(50)]
    await compute.begun.wait()
    compute.go.set()
    done = await asyncio.gather(*asking, return_exceptions=True)
    assert {repr(one) for one in done} == {"KeyError('no such user')"}
    assert compute.calls == 1
    assert (await cache.stats()).computed == {"failed": 1}


async def test_everybody_gets_a_value_of_their_own(cache: Cache[Any]) -> None:
    compute = Counting([1])
    compute.hold()
    asking = [asyncio.create_task(cache.get_or_set("k", compute)) for _ in range(3)]
    await compute.begun.wait()
    compute.go.set()
    done = await asyncio.gather(*asking)
    done[0].append(2)
    assert done[1:] == [[1], [1]]
    assert (await cache.stats()).coalesced == 2


async def test_the_first_answer_is_what_later_ones_will_be(cache: Cache[Any]) -> None:
    async def compute() -> Any:
        return (1, 2)

    with pytest.raises(CacheValueError):
        await cache.get_or_set("k", compute)
    pairs = cache.of(list[int], namespace="pairs")
    assert await pairs.get_or_set("k", compute) == [1, 2]


async def test_it_runs_in_the_context_of_who_asked_first(cache: Cache[Any]) -> None:
    user: ContextVar[str] = ContextVar("user")
    user.set("ada")

    async def compute() -> str:
        return user.get()

    assert await cache.get_or_set("k", compute) == "ada"


async def test_a_value_that_is_made_of_itself_is_an_error(cache: Cache[Any]) -> None:
    async def itself() -> int:
        return await cache.get_or_set("k", itself)  # type: ignore[no-any-return]

    with pytest.raises(ComputeCycleError, match="'k' waits for 'k'"):
        await cache.get_or_set("k", itself)


async def test_two_values_that_are_made_of_each_other_are_an_error(cache: Cache[Any]) -> None:
    both = anyio.Event()
    begun = 0

    async def of_other(other: str, compute: Any) -> Any:
        nonlocal begun
        begun += 1
        if begun == 2:
            both.set()
        await both.wait()
        return await cache.get_or_set(other, compute)

    async def a() -> Any:
        return await of_other("b", b)

    async def b() -> Any:
        return await of_other("a", a)

    with anyio.fail_after(5):
        done = await asyncio.gather(cache.get_or_set("a", a), cache.get_or_set("b", b), return_exceptions=True)
    assert all(isinstance(one, ComputeCycleError) for one in done)


async def test_a_value_may_be_made_of_others(cache: Cache[Any]) -> None:
    async def inner() -> int:
        return 1

    async def outer() -> int:
        return sum(await asyncio.gather(*(cache.get_or_set(key, inner) for key in ("a", "a", "b"))))

    assert await cache.get_or_set("k", outer) == 3


async def test_a_function_that_cancels_itself_is_an_error(cache: Cache[Any]) -> None:
    async def compute() -> int:
        raise asyncio.CancelledError

    with pytest.raises(ComputeCancelledError):
        await cache.get_or_set("k", compute)


async def test_a_function_that_is_not_async_is_an_error(cache: Cache[Any]) -> None:
    plain: Any = lambda: 1  # noqa: E731
    with pytest.raises(CacheOptionError, match="make it an async function"):
        await cache.get_or_set("k", plain)
    assert await cache.get("k") is None


async def test_closing_ends_what_is_being_computed(store: MemoryCache, clock: VirtualClock) -> None:
    compute = Counting("old")
    async with Cache[Any](store, default_ttl=60, clock=clock) as cache:
        await cache.get_or_set("stale", compute, stale=60)
        await clock.advance(61)
        compute.hold()
        await cache.get_or_set("stale", compute, stale=60)  # begins a refresh
        waiting = asyncio.create_task(cache.get_or_set("k", compute))
        await turns()
    with pytest.raises(ComputeCancelledError):
        await waiting
    left = [task for task in asyncio.all_tasks() if task.get_name().startswith("undercroft cache")]
    assert left == []


# --- Leases -----------------------------------------------------------------------------------------------------------


async def test_the_lease_is_renewed_for_as_long_as_it_takes(
    cache: Cache[Any], store: MemoryCache, clock: VirtualClock
) -> None:
    compute = Counting()
    compute.hold()
    asking = asyncio.create_task(cache.get_or_set("k", compute))
    await compute.begun.wait()
    for _ in range(20):
        await clock.advance(LEASE_S / 2)
        assert not await store.take_lease("app", "k", "thief", ttl_s=5)
    compute.go.set()
    assert await asking == 1
    assert await cache.get("k") == 1


async def test_a_process_that_died_is_replaced_when_its_lease_ends(
    cache: Cache[Any], store: MemoryCache, clock: VirtualClock
) -> None:
    assert await store.take_lease("app", "k", "dead", ttl_s=LEASE_S)
    compute = Counting()
    asking = asyncio.create_task(cache.get_or_set("k", compute))
    await clock.advance(LEASE_S - 0.1)
    assert compute.calls == 0
    await clock.advance(0.2)
    assert await asking == 1
    assert (await cache.stats()).computed == {"stored": 1}


async def test_a_process_that_takes_too_long_is_not_waited_for(
    cache: Cache[Any], store: MemoryCache, clock: VirtualClock
) -> None:
    assert await store.take_lease("app", "k", "slow", ttl_s=1000)
    compute = Counting()
    asking = asyncio.create_task(cache.get_or_set("k", compute, wait="3s"))
    await clock.advance(2.9)
    assert compute.calls == 0
    await clock.advance(0.2)
    assert await asking == 1
    assert await cache.get("k") is None  # whoever has the lease will store it
    assert (await cache.stats()).computed == {"uncoordinated": 1}


async def test_what_another_process_stores_meanwhile_is_the_answer(
    cache: Cache[Any], store: MemoryCache, clock: VirtualClock
) -> None:
    compute, theirs = Counting("ours"), Counting("theirs")
    theirs.hold()
    async with Cache[Any](store, default_ttl=60, clock=clock) as other:
        waiting = asyncio.create_task(other.get_or_set("k", theirs))
        await theirs.begun.wait()
        asking = [asyncio.create_task(cache.get_or_set("k", compute)) for _ in range(3)]
        await turns()
        theirs.go.set()
        assert await asyncio.gather(*asking) == ["theirs"] * 3
        await waiting
    assert compute.calls == 0
    assert (await cache.stats()).coalesced == 3


# --- Stale, early, negative -------------------------------------------------------------------------------------------


async def test_one_refresh_runs_however_many_get_the_stale_value(cache: Cache[Any], clock: VirtualClock) -> None:
    compute = Counting("old", "new")
    await cache.get_or_set("k", compute, 10, stale=100)
    await clock.advance(11)
    assert [await cache.get_or_set("k", compute, 10, stale=100) for _ in range(20)] == ["old"] * 20
    await turns()
    assert await cache.get_or_set("k", compute, 10, stale=100) == "new"
    assert compute.calls == 2
    assert (await cache.stats()).stale_served == {"refreshing": 20}


async def test_the_stale_window_ends(cache: Cache[Any], clock: VirtualClock) -> None:
    compute = Counting("old", "new")
    await cache.get_or_set("k", compute, 10, stale=5)
    await clock.advance(16)
    assert await cache.get_or_set("k", compute, 10, stale=5) == "new"


async def test_a_refresh_that_fails_is_logged_and_leaves_the_stale_value(
    cache: Cache[Any], clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    compute = Counting("old", KeyError("gone"))
    await cache.get_or_set("k", compute, 10, stale=100)
    await clock.advance(11)
    assert await cache.get_or_set("k", compute, 10, stale=100) == "old"
    await turns()
    assert await cache.get_or_set("k", compute, 10, stale=100) == "old"
    assert "cached value could not be refreshed" in caplog.text


async def test_a_stale_value_served_for_an_error_is_logged_once(
    cache: Cache[Any], clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    compute = Counting("old", KeyError("gone"))
    await cache.get_or_set("k", compute, 10, stale_on_error=100)
    await clock.advance(11)
    compute.hold()
    asking = [asyncio.create_task(cache.get_or_set("k", compute, 10, stale_on_error=100)) for _ in range(10)]
    await compute.begun.wait()
    compute.go.set()
    assert await asyncio.gather(*asking) == ["old"] * 10
    lines = [r for r in caplog.records if r.levelno == logging.WARNING and "a stale one is served" in r.getMessage()]
    assert len(lines) == 1
    await clock.advance(100)
    with pytest.raises(KeyError):
        await cache.get_or_set("k", compute, 10, stale_on_error=100)


async def test_an_early_refresh_is_likelier_the_nearer_the_end(clock: VirtualClock) -> None:
    async def refreshed(seconds_left: float, beta: float) -> int:
        store = MemoryCache(clock=clock)
        data = Codec(Any).wrap(b"0", written_at=clock.time() + seconds_left - 60, fresh_for_s=60.0, cost_s=1.0)
        await store.write("app", [Item(f"k{n}", data, 60) for n in range(400)])
        compute = Counting()
        async with Cache[Any](store, clock=clock) as cache:
            for n in range(400):
                assert await cache.get_or_set(f"k{n}", compute, 60, early=beta) == 0  # the fresh value, at once
            await turns()
        return compute.calls

    # Of a value that took a second, P(refresh) is exp(-seconds left / beta).
    assert await refreshed(0.5, 0.0) == 0
    assert await refreshed(30, 1.0) == 0
    assert 190 <= await refreshed(0.5, 1.0) <= 295  # 243 expected, standard deviation 10
    assert 320 <= await refreshed(0.5, 4.0) <= 385  # 353, 7


async def test_early_is_not_negative(cache: Cache[Any]) -> None:
    with pytest.raises(CacheOptionError, match="early"):
        await cache.get_or_set("k", Counting(), early=-1)


async def test_forever_is_never_early_or_stale(cache: Cache[Any], clock: VirtualClock) -> None:
    compute = Counting()
    await cache.get_or_set("k", compute, NO_EXPIRY, early=100, stale=5)
    await clock.advance("52w")
    assert await cache.get_or_set("k", compute, NO_EXPIRY, early=100, stale=5) == 1


# --- Counts -----------------------------------------------------------------------------------------------------------


async def test_everything_is_counted(clock: VirtualClock, store: MemoryCache) -> None:
    async with Cache[Any](store, namespace="counts", default_ttl=60, clock=clock) as cache:
        await cache.get("k")
        await cache.get_or_set("k", Counting())
        await cache.get("k")
        await cache.get_many(["k", "none"])
        stats = await cache.stats()
    assert (stats.hits, stats.misses, stats.computed) == (2, {"absent": 3}, {"stored": 1})
    assert stats.hit_rate == 0.4
    assert (stats.entries, stats.size_bytes) == (1, len(b"[1,1,1750000000.0,60.0,0.0,null,1]"))
    assert get_counter("undercroft_cache_hits_total", {"cache": "counts"}) == 2
    assert get_counter("undercroft_cache_misses_total", {"cache": "counts", "reason": "absent"}) == 3
    assert get_counter("undercroft_cache_computed_total", {"cache": "counts", "outcome": "stored"}) == 1
    assert get_histogram("undercroft_cache_compute_seconds", {"cache": "counts"}).count == 1


async def test_without_reads_there_is_no_hit_rate(cache: Cache[Any]) -> None:
    assert (await cache.stats()).hit_rate is None


async def test_a_computation_is_a_span_and_a_hit_is_none(cache: Cache[Any]) -> None:
    with taken_spans() as spans:
        await cache.get_or_set("user:7", Counting())
        await cache.get_or_set("user:7", Counting())
    (span,) = spans
    assert span.name == "compute app"
    assert span.attributes["undercroft.cache.key"] == "user:7"
