"""What a cache does while its store is away: reads are misses, what is missing is computed, and writes say so."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import pytest

from undercroft.cache import MISSING, Cache, CacheUnavailableError
from undercroft.testing.conformance.cache._facade import Counting
from undercroft.testing.outages import OUTAGES, Outage

Away = Callable[[Outage], AbstractAsyncContextManager[object]]
READS_GO_ON = {Outage.READ_ONLY, Outage.OUT_OF_MEMORY}
LIMIT_S = 5.0
"""Far above the deadline of a call, far below what waiting for a store without one takes."""


class CacheOutageConformance:
    """The promises of `Cache` while its store is away. Give it `cache`, opened, with a deadline of at most half a
    second, and `away`, which makes an outage of a kind for a block; `outages` are the kinds that its store can have."""

    pytestmark = pytest.mark.anyio
    outages: tuple[Outage, ...] = OUTAGES

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Have each test run once for each kind that the store can have."""
        if "outage" in metafunc.fixturenames:
            metafunc.parametrize("outage", self.outages)

    async def test_reads_never_fail(self, cache: Cache[Any], away: Away, outage: Outage) -> None:
        await cache.set("a", 1, 60)
        started = time.monotonic()
        async with away(outage):
            found = await cache.get("a", MISSING)
            many = await cache.get_many(["a", "b"])
            exists = await cache.exists("a")
        assert time.monotonic() - started < LIMIT_S
        assert found == 1 or (found is MISSING and outage not in READS_GO_ON)
        assert many in ({}, {"a": 1})
        assert exists in (True, False)
        reads = (await cache.stats()).misses
        assert found == 1 or reads["unavailable"] >= 1

    async def test_what_is_missing_is_computed_once_for_all_who_ask(
        self, cache: Cache[Any], away: Away, outage: Outage
    ) -> None:
        compute = Counting()
        compute.hold()
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await cache.get_or_set("a", compute, 60, tags=["t"]))

        async with away(outage):
            with anyio.fail_after(LIMIT_S):
                async with anyio.create_task_group() as group:
                    for _ in range(20):
                        group.start_soon(ask)
                    await compute.begun.wait()
                    await anyio.sleep(1)  # all have asked the store, and waited for it in vain
                    compute.go.set()
        assert answers == [1] * 20

    async def test_writes_say_that_they_failed(self, cache: Cache[Any], away: Away, outage: Outage) -> None:
        writes: list[Callable[[], Awaitable[None]]] = [
            lambda: cache.set("a", 1, 60),
            lambda: cache.set_many({"a": 1}, 60, tags=["t"]),
            lambda: cache.invalidate_tags("t"),
        ]
        async with away(outage):
            for write in writes:
                with anyio.fail_after(LIMIT_S):
                    if outage is Outage.OUT_OF_MEMORY:
                        await _done_or_said(write)
                    else:
                        with pytest.raises(CacheUnavailableError):
                            await write()

    async def test_deleting_says_that_it_failed_or_has_done_it(
        self, cache: Cache[Any], away: Away, outage: Outage
    ) -> None:
        await cache.set("a", 1, 60)
        is_deleted = False
        async with away(outage):
            try:
                with anyio.fail_after(LIMIT_S):
                    is_deleted = await cache.delete("a")
            except CacheUnavailableError:
                is_deleted = False
        if is_deleted:
            assert await _get_again(cache, "a") in (MISSING, None)

    async def test_it_goes_on_when_the_store_is_back(self, cache: Cache[Any], away: Away, outage: Outage) -> None:
        async with away(outage):
            for _ in range(4):
                await cache.get("a")
        with anyio.fail_after(LIMIT_S):
            while not await _is_stored(cache):  # noqa: ASYNC110 - it is left alone for a second
                await anyio.sleep(0.05)
        assert await _get_again(cache, "a") == 1

    async def test_a_store_that_stalls_does_not_hold_up_every_read(self, cache: Cache[Any], away: Away) -> None:
        if Outage.STALLED not in self.outages:
            pytest.skip("this store cannot stall")
        async with away(Outage.STALLED):
            for _ in range(3):
                await cache.get("a")
            started = time.monotonic()
            for _ in range(100):
                await cache.get("a")
        assert time.monotonic() - started < LIMIT_S


async def _done_or_said(write: Callable[[], Awaitable[None]]) -> None:
    try:
        await write()
    except CacheUnavailableError:
        return


async def _is_stored(cache: Cache[Any]) -> bool:
    try:
        await cache.set("a", 1, 60)
    except CacheUnavailableError:
        return False
    return True


async def _get_again(cache: Cache[Any], key: str) -> Any:
    """Read when the store has rested."""
    value: Any = MISSING
    with anyio.move_on_after(LIMIT_S):
        while (value := await cache.get(key, MISSING)) is MISSING:  # noqa: ASYNC110 - it is left alone for a second
            await anyio.sleep(0.05)
    return value
