"""Whether the event loop runs, and what it is stuck in when it does not.

A handler that computes, or calls something that blocks, stops everything else in its process: timeouts, other jobs,
probes. From inside nobody can say so; the worker's heartbeat thread can.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from types import FrameType

from undercroft.logging import Logger

BLOCKED_S = 2.0
"""A loop that has not run for so long is called blocked."""

_TICK_S = 0.25
_RECENT = 40
_FRAMES = 6
_log = Logger(module="undercroft.queue")


class LoopTicks:
    """Notes when the event loop runs. Started and stopped in the loop; read from any thread."""

    def __init__(self) -> None:
        self.ticked_at = time.monotonic()
        self.thread_id = threading.get_ident()
        self._loop = asyncio.get_running_loop()
        self._lags: deque[float] = deque(maxlen=_RECENT)
        self._handle = self._loop.call_later(_TICK_S, self._tick)

    @property
    def lag_s(self) -> float:
        """The longest time in the last ten seconds or so by which the loop came too late."""
        return max([self.late_s(time.monotonic()), *self._lags])

    def late_s(self, now: float) -> float:
        """For how long the loop should have run and has not."""
        return max(0.0, now - self.ticked_at - _TICK_S)

    def stop(self) -> None:
        """Note no more."""
        self._handle.cancel()

    def _tick(self) -> None:
        now = time.monotonic()
        self._lags.append(self.late_s(now))
        self.ticked_at = now
        self._handle = self._loop.call_later(_TICK_S, self._tick)


class BlockWatch:
    """Looks from another thread whether a loop is blocked, and says so once for each block.

    Args:
        running: Tells which jobs may be the cause: the one whose task the loop is in, if it is in one.
    """

    def __init__(self, ticks: LoopTicks, running: Callable[[], list[str]]) -> None:
        self._ticks = ticks
        self._running = running
        self._blocked_since: float | None = None
        self._counted_from = 0.0

    def was_stopped(self) -> None:
        """Forget the past: this whole process did not run, so nothing can be said about the loop."""
        self._counted_from = time.monotonic()

    def look(self) -> None:
        """Log that the loop is blocked, or that it runs again."""
        now, ticked_at = time.monotonic(), self._ticks.ticked_at
        silent_s = min(self._ticks.late_s(now), now - self._counted_from)
        if self._blocked_since is None:
            if silent_s > BLOCKED_S:
                self._blocked_since = now - silent_s
                self._warn(silent_s)
        elif ticked_at > self._blocked_since + _TICK_S:
            _log.info("event loop runs again", blocked_s=round(ticked_at - self._blocked_since, 1))
            self._blocked_since = None

    def _warn(self, silent_s: float) -> None:
        frames = sys._current_frames()  # noqa: SLF001  # documented, and the only way
        stack = _stack_of(frames.get(self._ticks.thread_id))
        _log.warning(
            "event loop is blocked: nothing else runs in this process until it is free",
            {
                "blocked_s": round(silent_s, 1),
                "jobs": ", ".join(self._running()),
                "at": stack[0] if stack else "unknown",
                "stack": " < ".join(stack),
            },
        )


def _stack_of(frame: FrameType | None) -> list[str]:
    """Return where a thread is, innermost first: `file:line function`."""
    stack: list[str] = []
    while frame is not None and len(stack) < _FRAMES:
        code = frame.f_code
        stack.append(f"{code.co_filename}:{frame.f_lineno} {code.co_name}")
        frame = frame.f_back
    return stack
