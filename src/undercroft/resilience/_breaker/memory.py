"""Breakers in this process's memory: for one process, and for tests.

URL: `memory://`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import msgspec

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.url import Url
from undercroft.resilience._breaker._protocol import Stored


class _NoOptions(msgspec.Struct, frozen=True):
    """`memory://` has none."""


class MemoryBreakers:
    """Documents in a dict. What it holds outlives `async with`."""

    name = "memory"
    is_local = True

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._documents: dict[str, tuple[bytes, int]] = {}

    @classmethod
    def from_url(cls, url: Url, *, what: str, clock: Clock | None = None) -> Self:
        """Return a store of its own.

        Raises:
            UrlError: The URL has options.
        """
        url.options_as(_NoOptions, what=what)
        return cls(clock=clock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        pass

    async def ping(self) -> None:
        pass

    async def read(self, name: str) -> Stored:
        data, version = self._documents.get(name, (None, 0))
        return Stored(data, version, self._clock.monotonic())

    async def swap(self, name: str, data: bytes, *, version: int) -> bool:
        if self._documents.get(name, (b"", 0))[1] != version:
            return False
        self._documents[name] = (data, version + 1)
        return True

    async def read_all(self) -> Mapping[str, Stored]:
        now = self._clock.monotonic()
        return {name: Stored(data, version, now) for name, (data, version) in self._documents.items()}
