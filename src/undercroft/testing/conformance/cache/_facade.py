"""A cache over any backend: values, freshness, tags, and one computation however many ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import anyio
import anyio.lowlevel
import pytest

from undercroft._core.clock import Clock, VirtualClock
from undercroft.cache import NO_EXPIRY, Cache, CacheBackend, MissingTTLError
from undercroft.testing.conformance.cache._base import LONG_S, SHORT_S, PassTime

MakeBackend = Callable[[], CacheBackend]
MakeCache = Callable[..., Any]


class Counting:
    """A function to compute with, which counts how often it is called, and may be held up."""

    def __init__(self, *answers: Any) -> None:
        self.calls = 0
        self.answers = answers
        self.begun = anyio.Event()
        self.go = anyio.Event()
        self.go.set()

    def hold(self) -> None:
        """Have calls wait until `go` is set."""
        self.begun, self.go = anyio.Event(), anyio.Event()

    async def __call__(self) -> Any:
        self.calls += 1
        answer = self.answers[min(self.calls, len(self.answers)) - 1] if self.answers else self.calls
        self.begun.set()
        await self.go.wait()
        if isinstance(answer, Exception):
            raise answer
        return answer


class CacheConformance:
    """The promises of `Cache`, whatever it is over. `cache` and `other` are two caches on one store, as two processes
    have them."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def clock(self) -> VirtualClock:
        """The clock that the caches and their backends read."""
        return VirtualClock()

    @pytest.fixture
    def pass_time(self, clock: VirtualClock) -> PassTime:
        """Lets seconds pass."""
        return clock.advance

    @pytest.fixture
    def namespace(self) -> str:
        """A namespace that no other test has."""
        return f"test-{uuid4().hex}"

    @pytest.fixture
    async def make_cache(
        self, make_backend: MakeBackend, clock: Clock, namespace: str
    ) -> AsyncIterator[Callable[[], Any]]:
        """Opens one more cache on the store."""
        async with AsyncExitStack() as stack:

            async def make() -> Cache[Any]:
                # A deadline that is not met only because the machine is busy is no failure of the store's.
                cache: Cache[Any] = Cache(make_backend(), namespace=namespace, clock=clock, timeout=10)
                return await stack.enter_async_context(cache)

            yield make

    @pytest.fixture
    async def cache(self, make_cache: MakeCache) -> Cache[Any]:
        opened: Cache[Any] = await make_cache()
        return opened

    @pytest.fixture
    async def other(self, make_cache: MakeCache) -> Cache[Any]:
        opened: Cache[Any] = await make_cache()
        return opened

    # --- Values -----------------------------------------------------------------------------------------------------

    async def test_what_one_stores_the_other_reads(self, cache: Cache[Any], other: Cache[Any]) -> None:
        await cache.set("a", {"x": [1, None, 1.5, True, "é"]}, LONG_S)
        assert await other.get("a") == {"x": [1, None, 1.5, True, "é"]}
        assert await other.exists("a")
        assert not await other.exists("b")

    async def test_values_end_at_their_time(self, cache: Cache[Any], pass_time: PassTime) -> None:
        await cache.set("a", 1, SHORT_S)
        await cache.set("b", 2, ttl_ms=SHORT_S * 1000)
        await cache.set("c", 3, NO_EXPIRY)
        await pass_time(SHORT_S * 1.2)
        assert await cache.get_many(["a", "b", "c"]) == {"c": 3}

    async def test_without_a_ttl_nothing_is_stored(self, cache: Cache[Any]) -> None:
        with pytest.raises(MissingTTLError):
            await cache.set("a", 1)
        assert await cache.get("a") is None

    async def test_clear_and_delete_keep_to_what_they_are_told(self, cache: Cache[Any], other: Cache[Any]) -> None:
        await cache.set_many({"x:1": 1, "x:2": 2, "y": 3}, LONG_S)
        assert await other.clear(prefix="x:", dry_run=True) == 2
        assert await cache.get_many(["x:1", "x:2", "y"]) == {"x:1": 1, "x:2": 2, "y": 3}
        assert await other.clear(prefix="x:") == 2
        assert await other.delete("x:1") is False
        assert await cache.get_many(["x:1", "x:2", "y"]) == {"y": 3}
        assert await cache.delete("y")

    async def test_a_value_that_is_touched_lives_on(self, cache: Cache[Any], pass_time: PassTime) -> None:
        await cache.set("a", 1, SHORT_S, tags=["t"])
        assert await cache.touch("a", LONG_S)
        assert not await cache.touch("b", LONG_S)
        await pass_time(SHORT_S * 1.2)
        assert await cache.get("a") == 1
        await cache.invalidate_tags("t")
        assert not await cache.touch("a", LONG_S)

    # --- Tags -------------------------------------------------------------------------------------------------------

    async def test_an_invalidated_value_is_not_there(self, cache: Cache[Any], other: Cache[Any]) -> None:
        await cache.set("a", 1, LONG_S, tags=["t", "u"])
        await cache.set("b", 2, LONG_S, tags=["u"])
        assert await other.get_many(["a", "b"]) == {"a": 1, "b": 2}
        await other.invalidate_tags("t")
        assert await cache.get("a") is None
        assert await cache.get("b") == 2

    async def test_what_is_stored_after_the_invalidation_is_there(self, cache: Cache[Any], other: Cache[Any]) -> None:
        await other.invalidate_tags("t")
        await cache.set("a", 1, LONG_S, tags=["t"])
        assert await other.get("a") == 1

    @pytest.mark.parametrize("how", ["tag", "delete", "set", "clear"])
    async def test_what_is_wrong_by_the_time_it_is_computed_is_not_kept(
        self, cache: Cache[Any], other: Cache[Any], how: str
    ) -> None:
        compute = Counting("old", "new")
        compute.hold()
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await cache.get_or_set("a", compute, LONG_S, tags=["t"]))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await compute.begun.wait()
            if how == "tag":
                await other.invalidate_tags("t")
            elif how == "delete":
                await other.delete("a")
            elif how == "clear":
                await other.clear()
            else:
                await other.set("a", "theirs", LONG_S)
            compute.go.set()
        assert answers == ["old"]  # it was asked for before
        assert await cache.get("a") == ("theirs" if how == "set" else None)

    @pytest.mark.parametrize("how", ["tag", "delete"])
    async def test_who_asks_after_the_invalidation_never_gets_what_was_computed_before(
        self, cache: Cache[Any], other: Cache[Any], how: str
    ) -> None:
        compute = Counting("old", "new")
        compute.hold()
        answers: dict[str, Any] = {}

        async def ask(who: str) -> None:
            answers[who] = await cache.get_or_set("a", compute, LONG_S, tags=["t"])

        async with anyio.create_task_group() as group:
            group.start_soon(ask, "before")
            await compute.begun.wait()
            await (other.invalidate_tags("t") if how == "tag" else other.delete("a"))
            group.start_soon(ask, "after")
            for _ in range(50):
                await anyio.lowlevel.checkpoint()
            compute.go.set()
        assert answers == {"before": "old", "after": "new"}
        assert await cache.get("a") == "new"

    # --- Computing --------------------------------------------------------------------------------------------------

    async def test_a_thousand_who_ask_at_once_compute_once(self, cache: Cache[Any], other: Cache[Any]) -> None:
        compute = Counting()
        compute.hold()
        answers: list[Any] = []

        async def ask(which: Cache[Any]) -> None:
            answers.append(await which.get_or_set("a", compute, LONG_S))

        async with anyio.create_task_group() as group:
            for n in range(1000):
                group.start_soon(ask, (cache, other)[n % 2])
            await compute.begun.wait()
            compute.go.set()
        assert compute.calls == 1
        assert answers == [1] * 1000

    async def test_what_is_there_is_not_computed(self, cache: Cache[Any], other: Cache[Any]) -> None:
        compute = Counting()
        assert await cache.get_or_set("a", compute, LONG_S) == 1
        assert await other.get_or_set("a", compute, LONG_S) == 1
        assert await other.get_or_set("a", compute, LONG_S, refresh=True) == 2
        assert await cache.get("a") == 2

    async def test_after_an_error_the_next_one_computes(self, cache: Cache[Any], other: Cache[Any]) -> None:
        compute = Counting(KeyError("none"), "value")
        with pytest.raises(KeyError, match="none"):
            await cache.get_or_set("a", compute, LONG_S)
        with anyio.fail_after(3):  # it has not to wait for the lease to end
            assert await other.get_or_set("a", compute, LONG_S) == "value"

    async def test_a_stale_value_is_served_while_it_is_computed_anew(
        self, cache: Cache[Any], pass_time: PassTime
    ) -> None:
        compute = Counting("old", "new")
        assert await cache.get_or_set("a", compute, SHORT_S, stale=LONG_S) == "old"
        await pass_time(SHORT_S * 1.2)
        compute.hold()
        assert await cache.get("a") is None  # get() knows fresh values only
        assert await cache.get_or_set("a", compute, LONG_S, stale=LONG_S) == "old"
        await compute.begun.wait()
        assert await cache.get_or_set("a", compute, LONG_S, stale=LONG_S) == "old"
        compute.go.set()
        with anyio.fail_after(5):
            while await cache.get("a") != "new":  # noqa: ASYNC110 - nothing tells of the end of a refresh
                await anyio.sleep(0.01)
        assert compute.calls == 2

    async def test_an_invalidated_value_is_not_served_stale(self, cache: Cache[Any], pass_time: PassTime) -> None:
        compute = Counting("old", "new", KeyError())
        options: dict[str, Any] = {"stale": LONG_S, "stale_on_error": LONG_S, "tags": ["t"]}
        await cache.get_or_set("a", compute, SHORT_S, **options)
        await pass_time(SHORT_S * 1.2)
        await cache.invalidate_tags("t")
        assert await cache.get_or_set("a", compute, SHORT_S, **options) == "new"
        await pass_time(SHORT_S * 1.2)
        await cache.invalidate_tags("t")
        with pytest.raises(KeyError):
            await cache.get_or_set("a", compute, SHORT_S, **options)

    async def test_a_stale_value_is_served_when_computing_fails(self, cache: Cache[Any], pass_time: PassTime) -> None:
        compute = Counting("old", KeyError())
        await cache.get_or_set("a", compute, SHORT_S, stale_on_error=LONG_S)
        await pass_time(SHORT_S * 1.2)
        assert await cache.get_or_set("a", compute, SHORT_S, stale_on_error=LONG_S) == "old"
        assert (await cache.stats()).stale_served == {"error": 1}

    async def test_none_is_a_value(self, cache: Cache[Any], pass_time: PassTime) -> None:
        compute = Counting(None)
        assert await cache.get_or_set("a", compute, LONG_S) is None
        assert await cache.get_or_set("a", compute, LONG_S) is None
        assert compute.calls == 1
        assert await cache.get_or_set("b", compute, LONG_S, negative_ttl=SHORT_S) is None
        await pass_time(SHORT_S * 1.2)
        assert await cache.get_or_set("b", compute, LONG_S, negative_ttl=0) is None
        assert await cache.get_or_set("b", compute, LONG_S, negative_ttl=0) is None
        assert compute.calls == 4
