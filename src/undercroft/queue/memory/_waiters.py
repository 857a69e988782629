"""Who waits for what in the memory engine: workers for work, handles for the end of a job."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import anyio
import anyio.lowlevel

from undercroft._core.clock import Clock


class Waiters:
    """Tasks of one event loop that wait for topics: a topic is whatever two sides agree on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[Hashable, set[anyio.Event]] = {}

    def wake(self, topic: Hashable) -> None:
        """Wake all who wait for this topic now."""
        for waiter in self._waiting.get(topic, ()):
            waiter.set()

    def wake_all(self) -> None:
        """Wake everybody."""
        for topic in self._waiting:
            self.wake(topic)

    async def wait(self, topics: Iterable[Hashable], *, timeout: float) -> None:
        """Return when one of these topics was woken, or after `timeout` seconds."""
        wanted = tuple(topics)
        waiter = anyio.Event()
        for topic in wanted:
            self._waiting.setdefault(topic, set()).add(waiter)
        try:
            with self._clock.cancel_after(timeout):
                await waiter.wait()
        finally:
            for topic in wanted:
                self._forget(topic, waiter)

    def _forget(self, topic: Hashable, waiter: anyio.Event) -> None:
        waiting = self._waiting[topic]
        waiting.discard(waiter)
        if not waiting:
            del self._waiting[topic]
