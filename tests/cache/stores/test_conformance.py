"""SQLite, Redis, a cluster of Redis, and two tiers keep every promise of caches."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.connections.redis._servers import Cluster, RedisServer
from undercroft._core.clock import Clock, SystemClock, VirtualClock
from undercroft._core.url import Url
from undercroft.cache import CacheBackend, LocalTier
from undercroft.cache._tier import TieredCache
from undercroft.cache.redis import RedisCache
from undercroft.cache.sqlite import SqliteCache
from undercroft.testing.conformance.cache import CacheBackendConformance, CacheConformance, MakeBackend, PassTime

pytestmark = pytest.mark.anyio
READY_S = 5.0
HEARD_S = 0.02


class TestSqliteBackend(CacheBackendConformance):
    @pytest.fixture
    async def backend(self, clock: VirtualClock, tmp_path: Path) -> AsyncIterator[SqliteCache]:
        async with SqliteCache(tmp_path / "cache.db", clock=clock) as backend:
            yield backend


class TestCacheOnSqlite(CacheConformance):
    @pytest.fixture
    def make_backend(self, clock: VirtualClock, tmp_path: Path) -> MakeBackend:
        return lambda: SqliteCache(tmp_path / "cache.db", clock=clock)


class OnServerTime:
    """Redis goes by its own clock, which cannot be moved: these tests wait."""

    @pytest.fixture
    def clock(self) -> Clock:
        return SystemClock()

    @pytest.fixture
    def pass_time(self) -> PassTime:
        return anyio.sleep


def make_redis(url: str) -> RedisCache:
    return RedisCache.from_url(Url.parse(url))


@pytest.mark.redis
class TestRedisBackend(OnServerTime, CacheBackendConformance):
    @pytest.fixture
    async def backend(self, shared_server: RedisServer) -> AsyncIterator[RedisCache]:
        async with make_redis(shared_server.url) as backend:
            yield backend


@pytest.mark.redis
class TestCacheOnRedis(OnServerTime, CacheConformance):
    @pytest.fixture
    def make_backend(self, shared_server: RedisServer) -> MakeBackend:
        return lambda: make_redis(shared_server.url)


@pytest.mark.redis
class TestClusterBackend(OnServerTime, CacheBackendConformance):
    @pytest.fixture
    async def backend(self, shared_cluster: Cluster) -> AsyncIterator[RedisCache]:
        async with make_redis(shared_cluster.url) as backend:
            yield backend


@pytest.mark.redis
class TestTwoTiers(OnServerTime, CacheBackendConformance):
    @pytest.fixture
    async def backend(self, shared_server: RedisServer) -> AsyncIterator[TieredCache]:
        async with TieredCache(make_redis(shared_server.url), LocalTier()) as backend:
            with anyio.fail_after(READY_S):
                while not backend.is_listening:
                    await anyio.sleep(0.01)
            yield backend


@pytest.mark.redis
class TestCacheOnTwoTiers(OnServerTime, CacheConformance):
    """`cache` and `other` have a tier each. A change of one is seen by the other when its message has come."""

    @pytest.fixture
    def make_backend(self, shared_server: RedisServer) -> Callable[[], CacheBackend]:
        return lambda: Settling(make_redis(shared_server.url), LocalTier())


class Settling(TieredCache):
    """A tier whose changes return when every listener has had the time to hear of them."""

    async def __aenter__(self) -> Any:
        opened = await super().__aenter__()
        with anyio.fail_after(READY_S):
            while not self.is_listening:
                await anyio.sleep(0.01)
        return opened

    async def write(self, *args: Any) -> None:
        await super().write(*args)
        await anyio.sleep(HEARD_S)

    async def delete(self, *args: Any) -> int:
        deleted = await super().delete(*args)
        await anyio.sleep(HEARD_S)
        return deleted

    async def clear(self, space: str, *, prefix: str = "") -> int:
        cleared = await super().clear(space, prefix=prefix)
        await anyio.sleep(HEARD_S)
        return cleared

    async def invalidate_tags(self, *args: Any) -> None:
        await super().invalidate_tags(*args)
        await anyio.sleep(HEARD_S)

    async def write_leased(self, *args: Any) -> bool:
        is_kept = await super().write_leased(*args)
        await anyio.sleep(HEARD_S)
        return is_kept
