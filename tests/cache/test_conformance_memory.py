"""The memory backend keeps every promise of caches."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from undercroft._core.clock import VirtualClock
from undercroft.cache.memory import MemoryCache
from undercroft.testing.conformance.cache import CacheBackendConformance, CacheConformance, MakeBackend

pytestmark = pytest.mark.anyio


class TestMemoryBackend(CacheBackendConformance):
    @pytest.fixture
    async def backend(self, clock: VirtualClock) -> AsyncIterator[MemoryCache]:
        async with MemoryCache(clock=clock) as backend:
            yield backend


class TestCacheOnMemory(CacheConformance):
    @pytest.fixture
    def make_backend(self, clock: VirtualClock) -> MakeBackend:
        store = MemoryCache(clock=clock)
        return lambda: store
