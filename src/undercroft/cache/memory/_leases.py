"""The leases of a memory cache."""

from __future__ import annotations

from typing import NamedTuple

import anyio

from undercroft._core.clock import Clock
from undercroft.cache.memory._shelf import Place


class _Lease(NamedTuple):
    token: str
    ends_at: float
    ended: anyio.Event


class Leases:
    """Who computes what. A lease that nobody ends is over at its time; those are swept when there are many."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._leases: dict[Place, _Lease] = {}
        self._sweep_at = 1000

    def take(self, place: Place, token: str, ttl_s: float) -> bool:
        """Take it for `token`, unless somebody has it."""
        if self._current(place) is not None:
            return False
        if len(self._leases) >= self._sweep_at:
            self._sweep()
        self._leases[place] = _Lease(token, self._clock.monotonic() + ttl_s, anyio.Event())
        return True

    def renew(self, place: Place, token: str, ttl_s: float) -> bool:
        """Push its end to `ttl_s` from now, if `token` has it."""
        lease = self._current(place)
        if lease is None or lease.token != token:
            return False
        self._leases[place] = lease._replace(ends_at=self._clock.monotonic() + ttl_s)
        return True

    def end(self, place: Place, token: str | None = None) -> bool:
        """End it, if `token` has it, or whoever; tell whether it was so. Who waits for it is woken."""
        lease = self._current(place)
        if lease is None or token not in (None, lease.token):
            return False
        del self._leases[place]
        lease.ended.set()
        return True

    def end_all(self, space: str | None = None, prefix: str = "") -> None:
        """End those of the keys that begin with `prefix`; without a space, all."""
        for place in list(self._leases):
            if space is None or (place[0] == space and place[1].startswith(prefix)):
                self.end(place)

    async def wait(self, place: Place, timeout_s: float) -> None:
        """Return when it has ended or may have ended, or after `timeout_s`."""
        lease = self._current(place)
        if lease is not None:
            with self._clock.cancel_after(min(timeout_s, lease.ends_at - self._clock.monotonic())):
                await lease.ended.wait()

    def _current(self, place: Place) -> _Lease | None:
        lease = self._leases.get(place)
        if lease is None or lease.ends_at > self._clock.monotonic():
            return lease
        del self._leases[place]
        lease.ended.set()
        return None

    def _sweep(self) -> None:
        for place in list(self._leases):
            self._current(place)
        self._sweep_at = 2 * len(self._leases) + 1000
