"""What a tier keeps in this process: a bounded number of bytes under a bounded number of keys, each for a while."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from undercroft._core.clock import Clock


class _Kept(NamedTuple):
    data: bytes
    until: float
    """By the monotonic clock."""


class Front:
    """Keeps values and versions of tags by space and name; what was not used for longest goes first."""

    def __init__(self, *, max_entries: int, max_bytes: int, clock: Clock) -> None:
        self._monotonic = clock.monotonic
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, space: str, name: str) -> bytes | None:
        """Return what is kept, unless its time is up."""
        place = (space, name)
        kept = self._kept.get(place)
        if kept is None:
            return None
        if kept[1] <= self._monotonic():
            self._drop(place)
            return None
        self._kept.move_to_end(place)
        return kept[0]

    def keep(self, space: str, name: str, data: bytes, *, ttl_s: float) -> None:
        """Keep `data`, and let others go where there is no room for all."""
        place = (space, name)
        self._drop(place)
        if len(data) > self._max_bytes or ttl_s <= 0:
            return
        self._kept[place] = _Kept(data, self._monotonic() + ttl_s)
        self._size += len(data)
        while self._size > self._max_bytes or len(self._kept) > self._max_entries:
            self._drop(next(iter(self._kept)))

    def drop(self, space: str, names: Iterable[str]) -> None:
        """Forget these."""
        for name in names:
            self._drop((space, name))

    def drop_space(self, space: str) -> None:
        """Forget all of a space."""
        for place in [place for place in self._kept if place[0] == space]:
            self._drop(place)

    def drop_all(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._size = 0

    def _drop(self, place: tuple[str, str]) -> None:
        kept = self._kept.pop(place, None)
        if kept is not None:
            self._size -= len(kept.data)
