"""What a cache does while its store is away, for each store and each kind of outage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.connections.redis._servers import HOST, RedisServer
from undercroft.cache import Cache, LocalTier, create_cache
from undercroft.cache.sqlite import SqliteCache
from undercroft.testing.conformance.cache import CacheOutageConformance
from undercroft.testing.outages import Outage, RedisOutages, SqliteOutages

pytestmark = pytest.mark.anyio


@pytest.mark.redis
class TestRedisAway(CacheOutageConformance):
    local: LocalTier | None = None

    @pytest.fixture
    async def outages_of(self, shared_server: RedisServer) -> AsyncIterator[RedisOutages]:
        async with RedisOutages(HOST, shared_server.port) as outages:
            yield outages

    @pytest.fixture
    async def cache(self, outages_of: RedisOutages) -> AsyncIterator[Cache[Any]]:
        async with create_cache(outages_of.url, namespace=uuid4().hex, local=self.local) as cache:
            yield cache

    @pytest.fixture
    def away(self, outages_of: RedisOutages) -> Any:
        return outages_of.during


@pytest.mark.redis
class TestTwoTiersAway(TestRedisAway):
    local = LocalTier()


class TestSqliteAway(CacheOutageConformance):
    outages = (Outage.REFUSED, Outage.STALLED, Outage.OUT_OF_MEMORY, Outage.READ_ONLY)

    @pytest.fixture
    async def backend(self, tmp_path: Path) -> SqliteCache:
        return SqliteCache(tmp_path / "cache.db")

    @pytest.fixture
    async def cache(self, backend: SqliteCache) -> AsyncIterator[Cache[Any]]:
        async with Cache[Any](backend) as cache:
            await cache.get("a")  # opens the file
            yield cache

    @pytest.fixture
    def away(self, backend: SqliteCache) -> Any:
        return SqliteOutages(backend.path, run=backend._read).during
