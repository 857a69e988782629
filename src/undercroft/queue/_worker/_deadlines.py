"""The deadlines of all runs of a worker, kept by one timer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import anyio

from undercroft._core.clock import Clock
from undercroft.queue._worker._running import Ending, Run


class Deadlines:
    """Ends runs that take longer than their timeout, at the exact instant.

    A run costs one comparison: the timer is set anew only for a deadline that comes before the one it is set for, and
    when it goes off it looks at what is running. It goes by the worker's clock.
    """

    def __init__(self, clock: Clock, runs: Callable[[], Iterable[Run]]) -> None:
        self._clock = clock
        self._runs = runs
        self._earliest = math.inf
        self._nap = anyio.CancelScope()

    def add(self, run: Run, timeout_s: float) -> None:
        """Have `run` ended `timeout_s` after its start."""
        run.deadline = deadline = run.started + timeout_s
        if deadline < self._earliest:
            self._earliest = deadline
            self._nap.cancel()

    async def watch(self) -> None:
        """Keep the deadlines until cancelled."""
        while True:
            self._earliest = self._end_the_late()
            with anyio.CancelScope() as self._nap:
                if self._earliest == math.inf:
                    await anyio.sleep_forever()
                await self._clock.sleep(max(0.0, self._earliest - self._clock.monotonic()))

    def _end_the_late(self) -> float:
        """End the runs whose time is up, and return the next deadline."""
        now, earliest = self._clock.monotonic(), math.inf
        for run in list(self._runs()):
            if run.deadline is None or run.scope is None or run.ending is not None:
                continue
            if run.deadline <= now:
                run.end(Ending.TIMEOUT)
            else:
                earliest = min(earliest, run.deadline)
        return earliest
