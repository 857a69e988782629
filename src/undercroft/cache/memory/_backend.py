"""The backend: one short method for each promise."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Sequence
from typing import Self

import anyio.lowlevel
import msgspec

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.url import Url, UrlError
from undercroft.cache._protocol import Changes, Item, KeyPage, Read, Statistics
from undercroft.cache.memory._leases import Leases
from undercroft.cache.memory._shelf import Shelf


class _Options(msgspec.Struct, frozen=True, kw_only=True):
    """Options of `memory://`."""

    max_entries: int = 10_000
    max_bytes: int = 0


class MemoryCache:
    """A `CacheBackend` in this process. Opening and closing it keeps what it holds, so a test can look at it
    afterwards, and several caches may share one.

    Args:
        max_entries: How many entries it holds at most, and how many tags. Beyond that, what was not used for longest
            goes.
        max_bytes: How much keys and data may take, without Python's own overhead of some 300 bytes each; 0 for no
            bound. What is larger by itself is not kept.
    """

    name = "memory"
    is_local = True

    def __init__(self, *, max_entries: int = 10_000, max_bytes: int = 0, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        now = self._clock.monotonic
        self._entries = Shelf(now, max_entries=max_entries, max_bytes=max_bytes)
        self._tags = Shelf(now, max_entries=max_entries)
        self._leases = Leases(self._clock)
        # Never used twice, also by another life of this process.
        self._life, self._made = secrets.token_hex(12), itertools.count(1)
        self.time = self._clock.time  # asked with every read

    @classmethod
    def from_url(cls, url: Url, *, what: str = "cache", clock: Clock | None = None) -> Self:
        """Make the backend of `memory://?max_entries=10000&max_bytes=50000000`.

        Raises:
            UrlError: It has a host, a path or an option that is not known or out of range.
        """
        if url.host or url.path.strip("/"):
            raise UrlError(f"{what}: memory:// takes no host and no path", hint="write memory://")
        options = url.options_as(_Options, what=what)
        if options.max_entries < 1 or options.max_bytes < 0:
            raise UrlError(
                f"{what}: memory:// with max_entries={options.max_entries} and max_bytes={options.max_bytes}",
                hint="max_entries is at least 1; max_bytes at least 0, which is no bound",
            )
        return cls(max_entries=options.max_entries, max_bytes=options.max_bytes, clock=clock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Keep everything."""

    async def ping(self) -> None:
        """Return at once."""
        await anyio.lowlevel.checkpoint()

    # --- Entries ----------------------------------------------------------------------------------------------------

    def get_now(self, space: str, key: str) -> bytes | None:
        return self._entries.get((space, key))

    async def get(self, space: str, key: str) -> bytes | None:
        return self._entries.get((space, key))

    async def read(self, space: str, keys: Sequence[str], tags: Sequence[str] = ()) -> Read:
        return Read(
            tuple([self._entries.get((space, key)) for key in keys]),
            tuple([self._tags.get((space, tag)) for tag in tags]),
        )

    async def write(self, space: str, items: Sequence[Item]) -> None:
        for item in items:
            self._leases.end((space, item.key))
            self._entries.put((space, item.key), item.data, item.ttl_s)

    async def delete(self, space: str, keys: Sequence[str]) -> int:
        for key in keys:
            self._leases.end((space, key))
        return sum([self._entries.drop((space, key)) for key in keys])

    async def clear(self, space: str, *, prefix: str = "") -> int:
        self._leases.end_all(space, prefix)
        places = [place for place, _ in self._entries.places(space, prefix)]
        return sum([self._entries.drop(place) for place in places])

    async def keys(self, space: str, *, prefix: str = "", limit: int = 100, cursor: str | None = None) -> KeyPage:
        found = sorted(key for (_, key), _ in self._entries.places(space, prefix) if cursor is None or key > cursor)
        page = tuple(found[:limit])
        return KeyPage(page, page[-1] if len(found) > limit else None)

    async def statistics(self, space: str) -> Statistics:
        sizes = [size for _, size in self._entries.places(space)]
        return Statistics(entries=len(sizes), size_bytes=sum(sizes))

    # --- Tags -------------------------------------------------------------------------------------------------------

    async def ensure_tags(self, space: str, tags: Sequence[str], *, ttl_s: float | None) -> tuple[bytes, ...]:
        return tuple([self._ensure_tag((space, tag), ttl_s) for tag in tags])

    async def invalidate_tags(self, space: str, tags: Sequence[str]) -> None:
        for tag in tags:
            self._tags.drop((space, tag))  # no version equals none, and the next one is new

    def _ensure_tag(self, place: tuple[str, str], ttl_s: float | None) -> bytes:
        version = self._tags.get(place)
        if version is None:
            version = f"{self._life}.{next(self._made)}".encode()
            self._tags.put(place, version, ttl_s)
        else:
            self._tags.prolong(place, ttl_s)
        return version

    # --- Leases -----------------------------------------------------------------------------------------------------

    async def take_lease(self, space: str, key: str, token: str, *, ttl_s: float) -> bool:
        return self._leases.take((space, key), token, ttl_s)

    async def renew_lease(self, space: str, key: str, token: str, *, ttl_s: float) -> bool:
        return self._leases.renew((space, key), token, ttl_s)

    async def write_leased(self, space: str, item: Item, token: str) -> bool:
        if not self._leases.end((space, item.key), token):
            return False
        self._entries.put((space, item.key), item.data, item.ttl_s)
        return True

    async def end_lease(self, space: str, key: str, token: str) -> None:
        self._leases.end((space, key), token)

    async def wait_for_lease(self, space: str, key: str, *, timeout_s: float) -> None:
        await self._leases.wait((space, key), timeout_s)

    # --- Coherence --------------------------------------------------------------------------------------------------

    def changes(self) -> Changes | None:
        """Return `None`: there is no need of a tier in front of this one."""
        return None
