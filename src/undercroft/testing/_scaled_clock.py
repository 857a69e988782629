"""A clock that runs faster than the host's, for tests of long deadlines against real servers and processes."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager

import anyio


class ScaledClock:
    """The host's clock, `speed` times as fast from the moment it is made. A `Clock`; safe to read from any thread.

    Give one to a client, and the same speed to its server: a lease of 10 seconds then ends after one, at a speed of 10.
    """

    def __init__(self, speed: float = 1.0) -> None:
        if not speed > 0:
            raise ValueError(f"speed {speed!r} is not above 0")
        self.speed = speed
        self._epoch = time.time()
        self._start = time.monotonic()

    def time(self) -> float:
        """Return seconds since the Unix epoch, as if time had run faster since this clock was made."""
        return self._epoch + self.monotonic()

    def monotonic(self) -> float:
        """Return seconds of this clock since it was made."""
        return (time.monotonic() - self._start) * self.speed

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of this clock."""
        await anyio.sleep(max(0.0, seconds) / self.speed)

    def cancel_after(self, seconds: float | None) -> AbstractContextManager[anyio.CancelScope]:
        """Cancel the block after `seconds` of this clock; `None` never does."""
        return anyio.move_on_after(None if seconds is None else max(0.0, seconds) / self.speed)
