"""Who waits in this process for the end of a lease, and how often to look for the end of another process's."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable

import anyio

from undercroft._core.clock import Clock

_FIRST_PAUSE_S = 0.005
_GROWTH = 1.6


class LeaseWaits:
    """Wakes waiters at once when this process has ended a lease, and has them look again in growing pauses.

    Lives as long as its backend; for one event loop.

    Args:
        longest_pause_s: Between two looks at a lease that another process holds.
    """

    def __init__(self, clock: Clock, *, longest_pause_s: float = 0.05) -> None:
        self._clock = clock
        self._longest_pause_s = longest_pause_s
        self._waiters: dict[tuple[str, str], set[asyncio.Future[None]]] = {}

    def wake(self, space: str, keys: Iterable[str]) -> None:
        """Tell those who wait for these keys that their leases may have ended."""
        if not self._waiters:
            return
        for key in keys:
            for waiter in self._waiters.get((space, key), ()):
                _settle(waiter)

    def wake_all(self) -> None:
        """Tell everybody."""
        for waiters in self._waiters.values():
            for waiter in waiters:
                _settle(waiter)

    async def wait(self, space: str, key: str, *, timeout_s: float, is_held: Callable[[], Awaitable[bool]]) -> None:
        """Return when `is_held` says no, after a `wake` for the key, or after `timeout_s`."""
        waiter = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault((space, key), set())
        waiters.add(waiter)  # before the first look: an end between the two is not missed
        try:
            with self._clock.cancel_after(timeout_s):
                pause_s = _FIRST_PAUSE_S
                while await is_held() and not waiter.done():
                    # By the host's time: another process does not live by this one's clock.
                    with anyio.move_on_after(pause_s * random.uniform(0.75, 1)):
                        await asyncio.shield(waiter)
                    pause_s = min(pause_s * _GROWTH, self._longest_pause_s)
        finally:
            waiters.discard(waiter)
            if not waiters:
                self._waiters.pop((space, key), None)


def _settle(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
