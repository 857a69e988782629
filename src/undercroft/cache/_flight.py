"""One computation for each key in this process, whoever waits for it.

A computation is a task of its own, so that it outlives a caller who is cancelled; it runs for as long as somebody waits
for it, or until its end if it is a refresh that nobody waits for. All of them end with the cache.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import anyio

from undercroft.cache._errors import ComputeCancelledError, ComputeCycleError


@dataclass(frozen=True, slots=True)
class Landed:
    """What a computation came to."""

    data: bytes
    """The value as JSON: everybody who waited gets a value of their own."""
    is_current: bool
    """Whether it was still true when it ended, as far as the store knows: also for who came after it had begun."""


R = TypeVar("R")
Fly = Callable[["Flight[R]"], Awaitable[R]]
_computing: ContextVar[Flight[Any] | None] = ContextVar("undercroft_cache_computing", default=None)


class Flight(Generic[R]):
    """Something that is under way, and that several may wait for: a computation, or a read of the store."""

    def __init__(self, name: str, fly: Fly[R], *, is_background: bool) -> None:
        self.name = name
        self.has_begun = False
        """From when on the computation may have seen what is not true any more for who joins."""
        self.has_late_joiners = False
        self.is_over = False
        """Nobody is to join it any more."""
        self._waiting = 0
        self._is_background = is_background
        self._waits_for: list[Flight[Any]] = []
        self.task = asyncio.create_task(self._run(fly), name=f"undercroft cache {name}")

    async def _run(self, fly: Fly[R]) -> R:
        _computing.set(self)
        try:
            return await fly(self)
        finally:
            self.is_over = True

    async def wait(self) -> R:
        """Return what it comes to, or raise what it raises, which is not done again for each who waits.

        Cancellation: ends the wait only, and the computation with it when nobody else waits for it.

        Raises:
            ComputeCancelledError: The computation was cancelled by somebody else.
        """
        here = _computing.get()
        if here is not None:
            here.wait_for(self)
        self._waiting += 1
        try:
            await asyncio.wait({self.task})
        finally:
            self._waiting -= 1
            if here is not None:
                here.no_longer_wait_for(self)
            if not (self._waiting or self._is_background or self.task.done()):
                await self.end()
        if self.task.cancelled():
            raise ComputeCancelledError(
                f"computing {self.name!r} was cancelled", hint="the cache was closed, or the function cancelled itself"
            )
        return self.task.result()

    def wait_for(self, other: Flight[Any]) -> None:
        """Note that this computation waits for another one.

        Raises:
            ComputeCycleError: Which waits for this one.
        """
        if other.leads_to(self):
            raise ComputeCycleError(
                f"computing {self.name!r} waits for {other.name!r}, which waits for it",
                hint="have the function not ask the cache for its own key, also not by way of other functions",
            )
        self._waits_for.append(other)

    def no_longer_wait_for(self, other: Flight[Any]) -> None:
        """Take that back."""
        self._waits_for.remove(other)

    def leads_to(self, other: Flight[Any]) -> bool:
        """Tell whether this is `other`, or waits for it, perhaps by way of more."""
        return self is other or any(flight.leads_to(other) for flight in self._waits_for)

    async def end(self) -> None:
        """Cancel it, and return when it has given back what it holds, whatever happens to the caller."""
        self.is_over = True
        self.task.cancel()
        with anyio.CancelScope(shield=True):  # against anyio's cancellation; the except is against asyncio's
            while not self.task.done():
                try:
                    await asyncio.wait({self.task})
                except asyncio.CancelledError:
                    continue  # it is on its way already: whoever is cancelled here came here by that


class Flights:
    """The computations of a cache and its views that are under way."""

    def __init__(self) -> None:
        self._by_key: dict[Hashable, Flight[Landed]] = {}
        self._flying: set[Flight[Landed]] = set()

    def join(
        self, key: Hashable, name: str, fly: Fly[Landed], *, is_new: bool = False
    ) -> tuple[Flight[Landed], bool, bool]:
        """Return the computation of a key, which is begun if there is none; whether it was; and whether this is late:
        after the computation has begun to look at what it is made of.

        Args:
            is_new: Begin another one, which the next to come will join.
        """
        flight = self._by_key.get(key)
        if is_new or flight is None or flight.is_over:
            return self._start(key, name, fly, is_background=False), True, False
        is_late = flight.has_begun
        flight.has_late_joiners = flight.has_late_joiners or is_late
        return flight, False, is_late

    def refresh(self, key: Hashable, name: str, fly: Fly[Landed]) -> None:
        """Begin a computation that nobody waits for, unless there is one."""
        flight = self._by_key.get(key)
        if flight is None or flight.is_over:
            self._start(key, name, fly, is_background=True)

    async def close(self) -> None:
        """End all of them. Who waits for one gets a `ComputeCancelledError`."""
        for flight in list(self._flying):
            await flight.end()

    def _start(self, key: Hashable, name: str, fly: Fly[Landed], *, is_background: bool) -> Flight[Landed]:
        flight = Flight(name, fly, is_background=is_background)
        self._by_key[key] = flight
        self._flying.add(flight)

        def landed(task: asyncio.Task[Landed]) -> None:
            self._flying.discard(flight)
            if self._by_key.get(key) is flight:
                del self._by_key[key]
            if not task.cancelled():
                task.exception()  # was seen: by who waited, or by the log

        flight.task.add_done_callback(landed)
        return flight
