"""Time from an injected source, so that one virtual clock drives a whole test."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Protocol

import anyio
import anyio.lowlevel

from undercroft._core.durations import Duration, to_seconds

_monotonic = time.monotonic


class Clock(Protocol):
    """Wall time for records, monotonic time for durations, and waiting by either."""

    def time(self) -> float:
        """Return seconds since the Unix epoch; may step when the host's clock is set."""

    def monotonic(self) -> float:
        """Return seconds that never go back; only differences mean anything."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of this clock. Cancellation ends the wait at once."""

    def cancel_after(self, seconds: float | None) -> AbstractContextManager[anyio.CancelScope]:
        """Cancel the enclosed block after `seconds` of this clock; `None` never does.

        The scope's `cancelled_caught` tells afterwards whether it did.
        """


class SystemClock:
    """The host's clock."""

    # The functions themselves: a frame of Python around each would be most of what asking for the time costs.
    time = staticmethod(time.time)
    monotonic = staticmethod(_monotonic)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    def cancel_after(self, seconds: float | None) -> AbstractContextManager[anyio.CancelScope]:
        return anyio.move_on_after(seconds)


class VirtualClock:
    """A clock that stands still until `advance` moves it. For tests; one instance for one event loop.

    `advance` wakes sleepers in the order of their deadlines, and lets the tasks they wake run before it goes on, so
    that a chain of sleeps inside one `advance` happens at the right virtual times.
    """

    def __init__(self, start: float = 1_750_000_000.0) -> None:
        self._now = start
        self._order = itertools.count()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []

    def time(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await anyio.lowlevel.checkpoint()
            return
        woken = anyio.Event()
        with self._timer(seconds, woken.set):
            await woken.wait()

    @contextmanager
    def cancel_after(self, seconds: float | None) -> Iterator[anyio.CancelScope]:
        with anyio.CancelScope() as scope:
            if seconds is None:
                yield scope
            elif seconds <= 0:  # as the host's clock does: it is time already, without any advance
                scope.cancel()
                yield scope
            else:
                with self._timer(seconds, scope.cancel):
                    yield scope

    async def advance(self, duration: Duration) -> None:
        """Move time forward by `duration`, stopping at each deadline on the way."""
        target = self._now + to_seconds(duration)
        await _let_tasks_run()
        while self._timers and self._timers[0][0] <= target:
            self._now, _, fire = heapq.heappop(self._timers)
            fire()
            await _let_tasks_run()
        self._now = target

    @contextmanager
    def _timer(self, seconds: float, fire: Callable[[], None]) -> Iterator[None]:
        entry = (self._now + seconds, next(self._order), fire)
        heapq.heappush(self._timers, entry)
        try:
            yield
        finally:
            if entry in self._timers:
                self._timers.remove(entry)
                heapq.heapify(self._timers)


def utc(epoch_seconds: float) -> datetime:
    """Return the aware UTC `datetime` of an epoch time in seconds."""
    return datetime.fromtimestamp(epoch_seconds, tz=UTC)


async def _let_tasks_run() -> None:
    # A woken task may need several turns of the loop before it sleeps again (an event, a lock, a queue in between).
    for _ in range(20):
        await anyio.lowlevel.checkpoint()
