"""A bound on how many calls run at once, so that one slow service does not take everything."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Self

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.durations import Duration
from undercroft.resilience._counts import BulkheadCounts
from undercroft.resilience._errors import BulkheadFullError, seconds_text
from undercroft.resilience._policy import Decorating, P, T, seconds, whole

_MOST = 1_000_000


class Bulkhead(Decorating):
    """Let a number of calls run at once, a number wait, and refuse the others.

        @Bulkhead(10, max_waiting=20, wait="1s")
        async def render(page: int) -> bytes: ...

        async with bulkhead: ...

    Who waits is let in in the order in which they came, and nobody overtakes them. Of this process and one event loop;
    `undercroft.ratelimit` bounds over processes. Holds nothing that must be closed.

    Args:
        max_concurrent: How many calls run at once.
        max_waiting: How many wait for a place; by default none.
        wait: For how long they wait at most; by default for as long as it takes.
        name: In metrics and errors; by default `bulkhead`.

    Raises:
        PolicyError: An argument is out of range.
        DurationError: Not a duration.
    """

    def __init__(
        self,
        max_concurrent: int,
        max_waiting: int = 0,
        *,
        wait: Duration | None = None,
        name: str = "bulkhead",
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.max_concurrent = whole(max_concurrent, name="max_concurrent", least=1, most=_MOST)
        self.max_waiting = whole(max_waiting, name="max_waiting", least=0, most=_MOST)
        self._wait_s = None if wait is None else seconds(wait, name="wait")
        self._clock = clock or SystemClock()
        self._counts = BulkheadCounts(name)
        self._running = 0
        self._line: deque[asyncio.Future[None]] = deque()

    def __repr__(self) -> str:
        return f"Bulkhead({self.max_concurrent}, max_waiting={self.max_waiting}, name={self.name!r})"

    @property
    def running(self) -> int:
        """How many calls run now."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many calls wait for a place now."""
        return len(self._line)

    async def call(self, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `fn` once there is a place for it.

        Raises:
            BulkheadFullError: There was none; it was not called.
        """
        async with self:
            return await fn(*args, **kwargs)

    async def __aenter__(self) -> Self:
        if self._running < self.max_concurrent and not self._line:
            self._running += 1
        elif len(self._line) >= self.max_waiting:
            self._refuse("full", f"{self._running} calls run and {len(self._line)} wait")
        else:
            await self._stand_in_line()
        self._counts.running.set(self._running)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._leave()
        self._counts.running.set(self._running)

    async def _stand_in_line(self) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(place)
        since = self._clock.monotonic()
        try:
            with self._clock.cancel_after(self._wait_s):
                await place
        except BaseException:
            # Cancelled in the very moment in which the place was given: it goes on to the next.
            if place.done() and not place.cancelled():
                self._leave()
            raise
        finally:
            if place in self._line:
                self._line.remove(place)
        if place.cancelled():
            self._refuse("waited", f"no place was free within {seconds_text(self._wait_s or 0.0)}")
        self._counts.wait.observe(self._clock.monotonic() - since)

    def _leave(self) -> None:
        # A place goes straight to the first in the line, so that nobody can come in between.
        while self._line:
            place = self._line.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._running -= 1

    def _refuse(self, reason: str, why: str) -> None:
        self._counts.refused.increment(bulkhead=self.name, reason=reason)
        raise BulkheadFullError(f"the bulkhead {self.name!r} is full: {why}", bulkhead=self.name)
