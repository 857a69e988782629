"""How many events may be made: a storm of errors must cost the application nothing but lines."""

from __future__ import annotations

import threading

from undercroft._core.clock import Clock

BURST = 50
"""Events that may be made at once."""
PER_SECOND = 5.0
"""Events that may be made from then on. Making one costs the thread that logs some milliseconds."""


class Budget:
    """A token bucket. Used from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left = float(BURST)
        self._filled_at = clock.monotonic()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Tell whether one more event may be made now, and count it."""
        with self._lock:
            now = self._clock.monotonic()
            self._left = min(float(BURST), self._left + (now - self._filled_at) * PER_SECOND)
            self._filled_at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True
