"""Locks of this process: for tests, and for programs that are one process. URL: `memory://`"""

from __future__ import annotations

from typing import NamedTuple, Self

import msgspec

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.url import Url
from undercroft.resilience._locks._protocol import Granted, Held, LockRecord

_SWEEP_EVERY = 1000


class MemoryLockOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A `memory://` URL has none."""


class _Row(NamedTuple):
    claim: str
    owner: str
    token: int
    expires_at: float  # monotonic
    acquired_at: float


class MemoryLocks:
    """Leases in a dictionary; they end by `clock.monotonic()`. Lives as long as its `Locks`; gone with the process."""

    name = "memory"
    is_local = True

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._rows: dict[str, _Row] = {}
        self._token = 0
        self._granted = 0

    @classmethod
    def from_url(cls, url: Url, *, what: str = "locks", clock: Clock | None = None) -> Self:
        """Build the store of `memory://`."""
        url.options_as(MemoryLockOptions, what=what)
        return cls(clock=clock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._rows.clear()

    async def ping(self) -> None:
        """See `LockStore.ping`: there is nothing to be away."""

    async def acquire(self, name: str, *, owner: str, claim: str, ttl_s: float) -> Granted | Held:
        """See `LockStore.acquire`."""
        now = self._clock.monotonic()
        row = self._rows.get(name)
        if row is not None and row.expires_at > now:
            if row.claim != claim:
                return Held(row.owner, row.expires_at - now)
            self._rows[name] = row._replace(expires_at=now + ttl_s)
            return Granted(row.token)
        wall = self._clock.time()
        self._token = max(self._token + 1, int(wall * 1e6))
        self._rows[name] = _Row(claim, owner, self._token, now + ttl_s, wall)
        self._sweep(now)
        return Granted(self._token)

    async def extend(self, name: str, *, claim: str, ttl_s: float) -> bool:
        """See `LockStore.extend`."""
        row = self._live(name)
        if row is None or row.claim != claim:
            return False
        self._rows[name] = row._replace(expires_at=self._clock.monotonic() + ttl_s)
        return True

    async def release(self, name: str, *, claim: str) -> bool:
        """See `LockStore.release`."""
        row = self._live(name)
        if row is None or row.claim != claim:
            return False
        del self._rows[name]
        return True

    async def list_held(self, *, prefix: str, limit: int) -> list[LockRecord]:
        """See `LockStore.list_held`."""
        names = sorted(name for name in self._rows if name.startswith(prefix))
        live = ((name, row) for name in names if (row := self._live(name)) is not None)
        return [self._record(name, row) for (name, row), _ in zip(live, range(limit), strict=False)]

    async def force_release(self, name: str) -> LockRecord | None:
        """See `LockStore.force_release`."""
        row = self._live(name)
        if row is None:
            return None
        del self._rows[name]
        return self._record(name, row)

    def _live(self, name: str) -> _Row | None:
        row = self._rows.get(name)
        return row if row is not None and row.expires_at > self._clock.monotonic() else None

    def _record(self, name: str, row: _Row) -> LockRecord:
        return LockRecord(
            name=name,
            owner=row.owner,
            token=row.token,
            expires_in_s=row.expires_at - self._clock.monotonic(),
            acquired_at=row.acquired_at,
        )

    def _sweep(self, now: float) -> None:
        """Forget, now and then, leases that ended because nobody released them."""
        self._granted += 1
        if self._granted % _SWEEP_EVERY == 0:
            for name in [name for name, row in self._rows.items() if row.expires_at <= now]:
                del self._rows[name]
