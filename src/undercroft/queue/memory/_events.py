"""What happened in the memory engine: a bounded log that any number of listeners read, each from its own place."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import anyio
import anyio.lowlevel

from undercroft._core.clock import Clock, utc
from undercroft.queue._values import JobEvent

_KEPT = 10_000


class _Happened(NamedTuple):
    type: str
    queue: str
    job_id: str | None
    at: float
    fields: dict[str, Any]

    def event(self, number: int) -> JobEvent:
        return JobEvent(
            cursor=f"{number:020d}",
            type=self.type,
            queue=self.queue,
            job_id=self.job_id,
            at=utc(self.at),
            fields=self.fields,
        )


class EventLog:
    """The last 10 000 events of all queues, numbered from 1."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: deque[_Happened] = deque(maxlen=_KEPT)
        self._last = 0
        self._listeners: set[anyio.Event] = set()

    def tell(self, type: str, queue: str, job_id: str | None, **fields: Any) -> None:  # noqa: A002 - the event's own word
        """Log an event, and wake those who listen."""
        self._last += 1
        self._kept.append(_Happened(type, queue, job_id, self._clock.time(), fields))
        for listener in self._listeners:
            listener.set()

    def listen(self, queues: frozenset[str], *, after: str | None) -> AsyncIterator[JobEvent]:
        """Yield the events of these queues from the moment of this call on, or after a cursor."""
        return self._follow(queues, self._last if after is None else int(after))

    async def _follow(self, queues: frozenset[str], seen: int) -> AsyncIterator[JobEvent]:
        while True:
            await anyio.lowlevel.checkpoint()
            seen = max(seen, self._last - len(self._kept))  # what came before is forgotten
            while seen < self._last:
                happened = self._kept[seen - self._last]  # counted from the end, where a listener usually is
                seen += 1
                if happened.queue in queues:
                    yield happened.event(seen)
                    seen = max(seen, self._last - len(self._kept))
            await self._news()

    async def _news(self) -> None:
        listener = anyio.Event()
        self._listeners.add(listener)
        try:
            await listener.wait()
        finally:
            self._listeners.discard(listener)
