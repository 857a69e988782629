"""How late the event loop runs, measured while requests come."""

from __future__ import annotations

import asyncio
from typing import Final

_TICK_S = 0.05
_IDLE_S = 5.0
_FADING = 0.7
"""What is left of a measured lag after one tick: a second after a stall of 1 s less than 1 ms of it counts."""


class LagMeter:
    """Measures by how much the event loop is late, with a timer of its own while there are requests.

    No task: a timer sets the next one, and the last sets none when no request has come for five seconds. It belongs to
    the loop it is used in, and starts anew in another one.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0
        self._wanted_until_s = 0.0
        self._lag_s = 0.0

    def measure(self) -> float:
        """Return the seconds by which the loop is late now or was a moment ago; keeps measuring for a while."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._wanted_until_s = now + _IDLE_S
        if loop is not self._loop or self._timer is None:
            self._loop, self._lag_s = loop, 0.0
            self._wait(now)
        # The tick itself is late while the loop is: what is due counts before it has run.
        return max(self._lag_s, now - self._due_s)

    def stop(self) -> None:
        """Set no more timers."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop = None

    def _wait(self, now: float) -> None:
        assert self._loop is not None
        self._due_s = now + _TICK_S
        self._timer = self._loop.call_at(self._due_s, self._tick)

    def _tick(self) -> None:
        if self._loop is None:
            return
        now = self._loop.time()
        late = now - self._due_s
        self._lag_s = max(late, self._lag_s * _FADING)
        if now < self._wanted_until_s:
            self._wait(now)
        else:
            self._timer = None


class Shedder:
    """Decides which requests are refused when the loop is late: none up to `max_lag_s`, then a growing share.

    At twice `max_lag_s` half of them, at three times two thirds, never more than 95 %: so the loop gets less to do the
    later it runs, and some are served whatever happens, which is how it is seen that it is over.
    """

    MOST: Final = 0.95

    def __init__(self, max_lag_s: float) -> None:
        self.max_lag_s = max_lag_s

    def share(self, lag_s: float) -> float:
        """Return which part of the requests is refused at this lag."""
        return 0.0 if lag_s <= self.max_lag_s else min(self.MOST, 1 - self.max_lag_s / lag_s)
