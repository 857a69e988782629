"""Who waits for which lock in this process: first come, first served, and only the first asks the store."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from undercroft._core.clock import Clock
from undercroft.resilience._locks._errors import LockUnavailableError
from undercroft.resilience._locks._protocol import Held


class Place:
    """A task's place in the line for one name."""

    __slots__ = ("_bell", "_has_rung", "_line", "failure")

    def __init__(self, line: _Line) -> None:
        self._line = line
        self._bell: asyncio.Future[None] | None = None
        self._has_rung = False
        self.failure: LockUnavailableError | None = None
        """What the first in line was told by the store while this one stood behind it."""

    @property
    def is_first(self) -> bool:
        """Whether it is this task's turn."""
        return self._line.places[0] is self

    @property
    def last_seen(self) -> Held | None:
        """Who held the lock when the first in line looked."""
        return self._line.last_seen

    def saw(self, held: Held) -> None:
        """Let those behind know who holds it."""
        self._line.last_seen = held

    def fail(self, error: LockUnavailableError) -> None:
        """Tell those behind that the store is away: each would wait for as long, one after the other, to hear it."""
        for place in self._line.places:
            if place is not self:
                place.failure = error
                place.ring()

    async def rest(self, clock: Clock, seconds: float) -> None:
        """Return after that long, or as soon as the place is the first, or the lock was released in this process."""
        if self._has_rung:  # while the store was asked
            self._has_rung = False
            return
        self._bell = asyncio.get_running_loop().create_future()
        try:
            with clock.cancel_after(seconds):
                await self._bell
        finally:
            self._bell = None

    def ring(self) -> None:
        """End its rest."""
        if self._bell is None:
            self._has_rung = True
        elif not self._bell.done():
            self._bell.set_result(None)


class _Line:
    __slots__ = ("last_seen", "places")

    def __init__(self) -> None:
        self.places: deque[Place] = deque()
        self.last_seen: Held | None = None


class Lines:
    """The lines of one store. A line exists while somebody stands in it."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    @contextmanager
    def stand(self, name: str) -> Iterator[Place]:
        """Stand in line for the block; leaving makes the next one the first."""
        line = self._lines.get(name)
        if line is None:
            line = self._lines[name] = _Line()
        place = Place(line)
        line.places.append(place)
        try:
            yield place
        finally:
            was_first = place.is_first
            line.places.remove(place)
            if not line.places:
                del self._lines[name]
            elif was_first:
                line.places[0].ring()

    def released(self, name: str) -> None:
        """Wake the first who waits for `name`."""
        if (line := self._lines.get(name)) is not None:
            line.places[0].ring()
