"""Data that ends at its time, and before that when there is no room: then what was not used for longest goes."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import NamedTuple

Place = tuple[str, str]
"""A space, and a key or tag in it."""
NEVER = float("inf")
_SWEPT = 8
"""How many that have expired a write looks for: more than it adds, so that they go away by themselves."""


class _Entry(NamedTuple):
    data: bytes
    expires_at: float


class Shelf:
    """What a memory cache holds. Every call takes a time that does not grow with how much that is, but `places`.

    Args:
        now: Monotonic seconds.
        max_bytes: Of keys and data; 0 for no bound.
    """

    def __init__(self, now: Callable[[], float], *, max_entries: int, max_bytes: int = 0) -> None:
        self._now = now
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._size = 0
        self._entries: OrderedDict[Place, _Entry] = OrderedDict()
        self._due: list[tuple[float, Place]] = []

    def get(self, place: Place) -> bytes | None:
        """Return what is there, which is used by that."""
        entry = self._entries.get(place)
        if entry is None:
            return None
        if entry[1] <= self._now():
            self._forget(place)
            return None
        self._entries.move_to_end(place)
        return entry[0]

    def put(self, place: Place, data: bytes, ttl_s: float | None) -> None:
        """Keep `data`, whatever was there; what is larger than all the room is not kept."""
        self._forget(place)
        size = len(data) + len(place[1])
        if self._max_bytes and size > self._max_bytes:
            return
        expires_at = NEVER if ttl_s is None else self._now() + ttl_s
        self._entries[place] = _Entry(data, expires_at)
        self._size += size
        if ttl_s is not None:
            heapq.heappush(self._due, (expires_at, place))
        self._sweep()
        while len(self._entries) > self._max_entries or (self._max_bytes and self._size > self._max_bytes):
            self._forget(next(iter(self._entries)))

    def prolong(self, place: Place, ttl_s: float | None) -> None:
        """Have what is there live until `ttl_s` from now, if that is later than its end."""
        entry = self._entries[place]
        expires_at = NEVER if ttl_s is None else self._now() + ttl_s
        if expires_at > entry.expires_at:
            self.put(place, entry.data, ttl_s)

    def drop(self, place: Place) -> bool:
        """Forget what is there, and tell whether there was something."""
        entry = self._forget(place)
        return entry is not None and entry.expires_at > self._now()

    def places(self, space: str, prefix: str = "") -> Iterator[tuple[Place, int]]:
        """Yield the places of a space that are not empty, and the size of what is there."""
        now = self._now()
        for place, entry in self._entries.items():
            if place[0] == space and entry.expires_at > now and place[1].startswith(prefix):
                yield place, len(entry.data)

    def _forget(self, place: Place) -> _Entry | None:
        entry = self._entries.pop(place, None)
        if entry is not None:
            self._size -= len(entry.data) + len(place[1])
        return entry

    def _sweep(self) -> None:
        now = self._now()
        for _ in range(_SWEPT):
            if not self._due or self._due[0][0] > now:
                break
            expires_at, place = heapq.heappop(self._due)
            entry = self._entries.get(place)
            if entry is not None and entry.expires_at == expires_at:
                self._forget(place)
        # What is written anew before its end leaves its old end behind.
        if len(self._due) > 2 * len(self._entries) + 64:
            self._due = [(e.expires_at, place) for place, e in self._entries.items() if e.expires_at != NEVER]
            heapq.heapify(self._due)
