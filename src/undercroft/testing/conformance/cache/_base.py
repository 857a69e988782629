"""What the tests of the suite share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from undercroft._core.clock import VirtualClock
from undercroft.cache import CacheBackend, Item

PassTime = Callable[[float], Awaitable[None]]
SHORT_S = 0.3
"""A life that ends in the test: long enough for what comes before its end, on a busy machine too."""
LONG_S = 60.0


class Promises:
    """Fixtures for the themes of the suite."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def clock(self) -> VirtualClock:
        """The clock that the backend under test reads."""
        return VirtualClock()

    @pytest.fixture
    def pass_time(self, clock: VirtualClock) -> PassTime:
        """Lets seconds pass for the backend: its clock, and whatever else it goes by."""
        return clock.advance

    @pytest.fixture
    def space(self) -> str:
        """A space that no other test has."""
        return f"test-{uuid4().hex}"


async def put(backend: CacheBackend, space: str, ttl_s: float | None = LONG_S, **values: bytes) -> None:
    """Write these keys."""
    await backend.write(space, [Item(key, data, ttl_s) for key, data in values.items()])


async def all_keys(backend: CacheBackend, space: str, *, prefix: str = "", limit: int = 100) -> set[str]:
    """Return the keys of all pages."""
    found: set[str] = set()
    cursor: str | None = None
    while True:
        page = await backend.keys(space, prefix=prefix, limit=limit, cursor=cursor)
        found.update(page.keys)
        cursor = page.cursor
        if cursor is None:
            return found
