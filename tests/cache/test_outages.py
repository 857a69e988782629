"""One process while its store is away, on a clock that stands still: deadlines, the rest, and what the log says. With
real stores: the conformance suite's outages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import anyio
import pytest

from undercroft._core.clock import VirtualClock
from undercroft.cache import Cache, CacheUnavailableError, Item, Read
from undercroft.cache.memory import MemoryCache
from undercroft.testing.conformance.cache import Counting

pytestmark = pytest.mark.anyio


class FarCache(MemoryCache):
    """A store that is elsewhere, and may fail or stall."""

    is_local = False
    get_now = None  # type: ignore[assignment]  # it has none

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock=clock)
        self.mode = "well"
        self.asked = 0

    async def _answer(self) -> None:
        self.asked += 1
        if self.mode == "fails":
            raise CacheUnavailableError("connection refused")
        if self.mode == "stalls":
            await anyio.sleep_forever()

    async def get(self, space: str, key: str) -> bytes | None:
        await self._answer()
        return await super().get(space, key)

    async def read(self, space: str, keys: Sequence[str], tags: Sequence[str] = ()) -> Read:
        await self._answer()
        return await super().read(space, keys, tags)

    async def write(self, space: str, items: Sequence[Item]) -> None:
        await self._answer()
        await super().write(space, items)

    async def delete(self, space: str, keys: Sequence[str]) -> int:
        await self._answer()
        return await super().delete(space, keys)

    async def take_lease(self, space: str, key: str, token: str, *, ttl_s: float) -> bool:
        await self._answer()
        return await super().take_lease(space, key, token, ttl_s=ttl_s)

    async def write_leased(self, space: str, item: Item, token: str) -> bool:
        await self._answer()
        return await super().write_leased(space, item, token)


class BrokenLocal(MemoryCache):
    """A store that is here, and fails."""

    is_failing = True

    def get_now(self, space: str, key: str) -> bytes | None:
        if self.is_failing:
            raise CacheUnavailableError("disk I/O error")
        return super().get_now(space, key)

    async def get(self, space: str, key: str) -> bytes | None:
        return self.get_now(space, key)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def store(clock: VirtualClock) -> FarCache:
    return FarCache(clock)


@pytest.fixture
async def cache(store: FarCache, clock: VirtualClock) -> AsyncIterator[Cache[Any]]:
    async with Cache[Any](store, default_ttl=60, clock=clock) as cache:
        yield cache
        store.mode = "well"


async def test_a_read_that_is_late_is_a_miss(cache: Cache[Any], store: FarCache, clock: VirtualClock) -> None:
    store.mode = "stalls"
    reading = asyncio.create_task(cache.get("k"))
    await clock.advance(0.24)
    assert not reading.done()
    await clock.advance(0.02)
    assert await reading is None
    stats = await cache.stats()
    assert (stats.misses, stats.store_errors) == ({"unavailable": 1}, 1)


async def test_a_write_that_is_late_says_so(cache: Cache[Any], store: FarCache, clock: VirtualClock) -> None:
    store.mode = "stalls"
    for write in (cache.set("k", 1), cache.delete("k")):
        writing = asyncio.create_task(write)
        await clock.advance(0.3)
        with pytest.raises(CacheUnavailableError, match="did not answer within 250ms") as caught:
            await writing
        assert caught.value.retry_after == 1.0


async def test_after_three_failures_reads_leave_it_alone_for_a_second(
    cache: Cache[Any], store: FarCache, clock: VirtualClock
) -> None:
    await cache.set("k", 1)
    store.mode, store.asked = "fails", 0
    assert [await cache.get("k") for _ in range(20)] == [None] * 20
    assert store.asked == 3
    with pytest.raises(CacheUnavailableError, match="connection refused"):
        await cache.set("k", 2)  # writes ask all the same
    assert store.asked == 4
    store.mode = "well"
    await clock.advance(0.9)
    assert await cache.get("k") is None
    await clock.advance(0.2)
    assert await cache.get("k") == 1
    assert (await cache.stats()).misses == {"unavailable": 21}


async def test_the_log_tells_once_when_it_goes_and_once_when_it_is_back(
    cache: Cache[Any], store: FarCache, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await cache.set("k", 1)
    store.mode = "fails"
    for _ in range(10):
        await cache.get("k")
        await clock.advance(1.1)
    store.mode = "well"
    for _ in range(10):
        await cache.get("k")
    lines = [record.getMessage() for record in caplog.records if "cache store" in record.getMessage()]
    assert ["unavailable" in line for line in lines] == [True, False]
    assert "answers again" in lines[1]


async def test_what_is_missing_is_computed_without_asking_again(cache: Cache[Any], store: FarCache) -> None:
    store.mode = "fails"
    compute = Counting()
    assert [await cache.get_or_set("k", compute) for _ in range(2)] == [1, 2]
    assert store.asked == 2  # one look each, and no lease
    assert (await cache.stats()).computed == {"not_stored": 2}


@pytest.mark.parametrize("when", ["take_lease", "ensure_tags", "write_leased"])
async def test_a_store_that_goes_away_in_the_middle_does_not_fail_the_caller(
    cache: Cache[Any], store: FarCache, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    async def fail(*_: object, **__: object) -> Any:
        raise CacheUnavailableError("connection reset")

    monkeypatch.setattr(store, when, fail)
    assert await cache.get_or_set("k", Counting(), tags=["t"]) == 1
    assert (await cache.stats()).computed == {"not_stored": 1}


async def test_a_stale_value_is_served_for_an_error_only_if_the_store_tells_of_it(
    cache: Cache[Any], store: FarCache, clock: VirtualClock
) -> None:
    compute = Counting("old", KeyError())
    await cache.get_or_set("k", compute, 10, stale_on_error=100)
    await clock.advance(11)
    assert await cache.get_or_set("k", compute, 10, stale_on_error=100) == "old"
    store.mode = "fails"
    with pytest.raises(KeyError):
        await cache.get_or_set("k", compute, 10, stale_on_error=100)


async def test_an_unknown_tag_version_is_not_a_valid_one(cache: Cache[Any], store: FarCache) -> None:
    await cache.set("k", 1, tags=["t"])
    real = store.read
    store.read = lambda *_, **__: _refused()  # type: ignore[method-assign]  # only the second look fails
    assert await cache.get("k") is None
    assert (await cache.stats()).misses == {"unavailable": 1}
    store.read = real  # type: ignore[method-assign]
    assert await cache.get("k") == 1


async def _refused() -> Read:
    raise CacheUnavailableError("connection refused")


async def test_a_local_store_that_fails_is_a_miss_too(clock: VirtualClock) -> None:
    store = BrokenLocal(clock=clock)
    async with Cache[Any](store, default_ttl=60, clock=clock) as cache:
        await cache.set("k", 1)
        assert await cache.get("k") is None
        assert await cache.get("k") is None
        store.is_failing = False
        assert await cache.get("k") == 1
        assert (await cache.stats()).store_errors == 2


async def test_cancelling_a_read_is_not_the_store_s_failure(cache: Cache[Any], store: FarCache) -> None:
    store.mode = "stalls"
    reading = asyncio.create_task(cache.get("k"))
    await anyio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert (await cache.stats()).store_errors == 0


async def test_however_many_ask_at_once_the_store_is_read_twice(
    cache: Cache[Any], store: FarCache, clock: VirtualClock
) -> None:
    async def slowly() -> None:
        store.asked += 1
        await clock.sleep(0.1)

    store._answer = slowly  # type: ignore[method-assign]
    compute = Counting()
    asking = [asyncio.create_task(cache.get_or_set("k", compute)) for _ in range(500)]
    await clock.advance(2)
    assert await asyncio.gather(*asking) == [1] * 500
    assert compute.calls == 1
    # One read for who came first, one for the others; then the lease, the look after it, and the value.
    assert store.asked <= 6


async def test_a_reader_who_is_cancelled_does_not_cancel_the_others(
    cache: Cache[Any], store: FarCache, clock: VirtualClock
) -> None:
    await cache.set("k", 7)

    async def slowly() -> None:
        await clock.sleep(0.1)

    store._answer = slowly  # type: ignore[method-assign]
    asking = [asyncio.create_task(cache.get_or_set("k", Counting())) for _ in range(4)]
    await clock.advance(0.05)
    asking[0].cancel()
    asking[1].cancel()
    await clock.advance(1)
    done = await asyncio.gather(*asking, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in done] == [True, True, False, False]
    assert done[2:] == [7, 7]
