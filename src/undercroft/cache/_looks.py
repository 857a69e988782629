"""One read of a key at a time, whoever wants to know: a thousand who ask at once are two reads, and not a thousand.

Who comes while a read is under way may not have its answer, which may be from before something that they know of. They
wait for its end, and the next read is for all of them. A read alone, as most are, costs nothing more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from functools import partial

from undercroft.cache._flight import Flight
from undercroft.cache._look import Stored

Look = Callable[[], Awaitable[Stored]]


class Looks:
    """The reads of a cache and its views that are under way."""

    def __init__(self) -> None:
        self._ends: dict[Hashable, asyncio.Event] = {}
        """Of the read of each key that is under way."""
        self._next: dict[Hashable, Flight[Stored]] = {}
        """The read of each key that has not begun, and that one may join."""

    async def look(self, key: Hashable, name: str, read: Look) -> Stored:
        """Return what a read brings that begins after this call. Raises what it raises."""
        ended = self._ends.get(key)
        if ended is None:
            return await self._read(key, read)
        flight = self._next.get(key)
        if flight is None or flight.is_over:
            flight = Flight(name, partial(self._read_after, key, ended, read), is_background=False)
            self._next[key] = flight
            flight.task.add_done_callback(partial(self._landed, key, flight))
        return await flight.wait()

    async def _read(self, key: Hashable, read: Look) -> Stored:
        ended = self._ends[key] = asyncio.Event()
        try:
            return await read()
        finally:
            ended.set()
            if self._ends.get(key) is ended:
                del self._ends[key]

    async def _read_after(self, key: Hashable, ended: asyncio.Event, read: Look, flight: Flight[Stored]) -> Stored:
        await ended.wait()
        self._forget(key, flight)  # it begins: who comes from now on waits for the one after it
        return await self._read(key, read)

    def _landed(self, key: Hashable, flight: Flight[Stored], task: asyncio.Task[Stored]) -> None:
        self._forget(key, flight)
        if not task.cancelled():
            task.exception()  # was seen by who waited

    def _forget(self, key: Hashable, flight: Flight[Stored]) -> None:
        if self._next.get(key) is flight:
            del self._next[key]
