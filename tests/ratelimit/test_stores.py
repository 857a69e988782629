"""The promises of a store, on every store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from undercroft._core.clock import VirtualClock
from undercroft.connections.redis import RedisConnection
from undercroft.ratelimit.memory import MemoryLimits
from undercroft.ratelimit.redis import RedisLimits
from undercroft.ratelimit.sqlite import SqliteLimits
from undercroft.testing.conformance.ratelimit import LimitStoreConformance


class TestMemory(LimitStoreConformance):
    @pytest.fixture
    async def store(self, clock: VirtualClock) -> AsyncIterator[MemoryLimits]:
        async with MemoryLimits(clock=clock) as store:
            yield store


class TestSqlite(LimitStoreConformance):
    @pytest.fixture
    async def store(self, clock: VirtualClock, tmp_path: Path) -> AsyncIterator[SqliteLimits]:
        async with SqliteLimits(tmp_path / "limits.db", clock=clock) as store:
            yield store


@pytest.mark.redis
class TestRedis(LimitStoreConformance):
    @pytest.fixture
    async def store(self, connection: RedisConnection, prefix: str, clock: VirtualClock) -> RedisLimits:
        return RedisLimits(connection, prefix=prefix, clock=clock, time_us=lambda: int(clock.time() * 1e6))
