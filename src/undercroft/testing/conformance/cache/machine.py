"""Two caches on one store, in whatever order: nobody gets what was invalid when they asked. Needs Hypothesis."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import uuid4

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from undercroft._core.clock import Clock, VirtualClock
from undercroft.cache import MISSING, Cache, CacheBackend, ComputeCancelledError

T = TypeVar("T")
TAGS = {"a": ("t", "u"), "b": ("t",)}
TTL_S = 10.0
a_key = st.sampled_from(sorted(TAGS))
a_process = st.sampled_from([0, 1])
a_change = st.sampled_from(["delete", "tag", "both tags", "set", "clear", "prefix"])


class ComputeFailedError(Exception):
    """What a computation raises when the machine wants it to."""


@dataclass(eq=False)
class Asking:
    """A `get_or_set` that is under way."""

    key: str
    least: int
    """What its answer is at least: what was true when it was asked."""
    task: asyncio.Task[int]


@dataclass(eq=False)
class Holding:
    """A computation that has seen what is true, and has not returned it."""

    seen: int
    go: asyncio.Event = field(default_factory=asyncio.Event)
    fails: bool = False


class CacheMachine(RuleBasedStateMachine):
    """Two processes with a cache each over one store, and a truth that they cache: a number for each key, which grows.

    Subclass it with `make_backend`, and run it: `TestMine = MyMachine.TestCase`. On a store that does not go by the
    machine's clock, override `make_clock` and `pass_time`, and `settle`, which lets what is under way come as far as it
    can.
    """

    def make_backend(self) -> CacheBackend:
        """Make a backend on the store of this run: each call one more."""
        raise NotImplementedError

    def make_clock(self) -> Clock:
        """Make the clock of this run."""
        return VirtualClock()

    async def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        assert isinstance(self.clock, VirtualClock)
        await self.clock.advance(seconds)

    async def settle(self) -> None:
        """Let tasks run until they wait for something that the machine does."""
        for _ in range(30):
            await asyncio.sleep(0)

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.truth = dict.fromkeys(TAGS, 0)
        self.least = dict.fromkeys(TAGS, 0)
        self.asking: list[Asking] = []
        self.holding: list[Holding] = []

    @initialize()
    def open(self) -> None:
        self.clock = self.make_clock()
        namespace = f"machine-{uuid4().hex}"
        self.caches: list[Cache[Any]] = []
        for _ in range(2):
            cache: Cache[Any] = Cache(self.make_backend(), namespace=namespace, clock=self.clock, timeout=10)
            self.run(cache.__aenter__())
            self.caches.append(cache)

    def teardown(self) -> None:
        if hasattr(self, "caches"):
            while self.holding:
                self.finish(0, fails=False)
                self.answers_are_true()
            for cache in self.caches:
                self.run(cache.__aexit__(None, None, None))
            self.run(self.settle())
            assert not [asking for asking in self.asking if not asking.task.done()]
            # Those who still waited were told that the cache is closed; an error that nobody looked at would be
            # reported by the garbage collector, in the middle of something else.
            told = [asking.task.exception() for asking in self.asking]
            assert all(failure is None or isinstance(failure, ComputeCancelledError) for failure in told), told
        self.runner.close()

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        """Do one thing, and let what it wakes come as far as it can."""

        async def settled() -> T:
            result = await step
            await self.settle()
            return result

        return self.runner.run(settled())

    # --- Asking -----------------------------------------------------------------------------------------------------

    @rule(process=a_process, key=a_key)
    def get(self, process: int, key: str) -> None:
        least = self.least[key]
        found = self.run(self.caches[process].get(key, MISSING))
        assert found is MISSING or found >= least
        many = self.run(self.caches[process].get_many([key]))
        assert many.get(key, least) >= least

    @rule(process=a_process, key=a_key, stale=st.sampled_from([None, 30.0]), early=st.sampled_from([0.0, 5.0]))
    def ask(self, process: int, key: str, stale: float | None, early: float) -> None:
        self.run(self._ask(process, key, stale=stale, stale_on_error=stale, early=early))

    async def _ask(self, process: int, key: str, **options: Any) -> None:
        async def compute() -> int:
            held = Holding(self.truth[key])
            self.holding.append(held)
            await held.go.wait()
            if held.fails:
                raise ComputeFailedError
            return held.seen

        async def ask() -> int:
            answer: int = await self.caches[process].get_or_set(key, compute, TTL_S, tags=TAGS[key], **options)
            return answer

        self.asking.append(Asking(key, self.least[key], asyncio.create_task(ask())))

    @rule(which=st.integers(0, 10), fails=st.booleans())
    def finish(self, which: int, fails: bool) -> None:
        async def finish() -> None:
            held.fails = fails
            held.go.set()

        if self.holding:
            held = self.holding.pop(which % len(self.holding))
            self.run(finish())

    @rule(which=st.integers(0, 10))
    def give_up(self, which: int) -> None:
        async def give_up() -> None:
            asking.task.cancel()
            await asyncio.wait({asking.task})

        if self.asking:
            asking = self.asking.pop(which % len(self.asking))
            self.run(give_up())

    # --- Changing ---------------------------------------------------------------------------------------------------

    @rule(process=a_process, key=a_key, how=a_change)
    def change(self, process: int, key: str, how: str) -> None:
        self.run(self._change(process, key, how))

    async def _change(self, process: int, key: str, how: str) -> None:
        cache = self.caches[process]
        self.truth[key] += 1
        if how == "delete":
            await cache.delete(key)
        elif how == "tag":
            await cache.invalidate_tags(TAGS[key][-1])
        elif how == "both tags":
            await cache.invalidate_tags(*TAGS[key])
        elif how == "set":
            await cache.set(key, self.truth[key], TTL_S, tags=TAGS[key], stale=30.0)
        else:
            await cache.clear(prefix=key if how == "prefix" else "")
        self.least[key] = self.truth[key]

    @rule(asks=a_process, changes=a_process, key=a_key, how=a_change, turns=st.integers(0, 12), holds=st.booleans())
    def change_amid(self, asks: int, changes: int, key: str, how: str, turns: int, holds: bool) -> None:
        """Ask before, while and after something changes: what chance does too seldom."""

        async def amid() -> None:
            for _ in range(2):
                await self._ask(asks, key)
            for _ in range(turns):
                await asyncio.sleep(0)
            await self._ask(asks, key)
            await self._change(changes, key, how)
            for _ in range(2):
                await self._ask(asks, key)
            if not holds:
                for held in self.holding:
                    held.go.set()
                self.holding.clear()

        self.run(amid())

    @rule(process=a_process, key=a_key)
    def touch(self, process: int, key: str) -> None:
        self.run(self.caches[process].touch(key, TTL_S))

    @rule(seconds=st.sampled_from([0.5, 4.0, 11.0, 45.0]))
    def wait(self, seconds: float) -> None:
        self.run(self.pass_time(seconds))

    # --- What always holds ------------------------------------------------------------------------------------------

    @invariant()
    def answers_are_true(self) -> None:
        for asking in [asking for asking in self.asking if asking.task.done()]:
            self.asking.remove(asking)
            failure = asking.task.exception()
            if failure is None:
                assert asking.task.result() >= asking.least
            elif not isinstance(failure, ComputeFailedError):
                raise failure
