"""The stores of breakers keep what every store promises."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from tests._services._server import Service
from undercroft._core.clock import SystemClock, VirtualClock
from undercroft._core.errors import ConfigError
from undercroft._core.stores import REDIS_SCHEMES
from undercroft._core.url import Url, UrlError
from undercroft.connections.redis import RedisConnection
from undercroft.resilience import BreakersUnavailableError, create_breakers, open_breaker_store
from undercroft.resilience._breaker.memory import MemoryBreakers
from undercroft.resilience._breaker.redis import RedisBreakers
from undercroft.resilience._breaker.sqlite import SqliteBreakers
from undercroft.testing.conformance.breaker import BreakerRig, BreakerStoreConformance

pytestmark = pytest.mark.anyio


class TestMemoryBreakers(BreakerStoreConformance):
    @pytest.fixture
    async def rig(self, clock: VirtualClock) -> AsyncIterator[BreakerRig]:
        async with MemoryBreakers(clock=clock) as store:
            yield BreakerRig((store, store), clock.advance, clock)


class TestSqliteBreakers(BreakerStoreConformance):
    @pytest.fixture
    async def rig(self, clock: VirtualClock, tmp_path: Path) -> AsyncIterator[BreakerRig]:
        path = tmp_path / "breakers.db"
        async with SqliteBreakers(path, clock=clock) as one, SqliteBreakers(path, clock=clock) as other:
            yield BreakerRig((one, other), clock.advance, clock)


class TestRedisBreakers(BreakerStoreConformance):
    @pytest.fixture
    async def rig(self, redis: Service) -> AsyncIterator[BreakerRig]:
        url, key = f"redis://{redis.host}:{redis.port}", f"test:{uuid.uuid4().hex}"
        async with RedisConnection(url) as first, RedisConnection(url) as second:
            stores = tuple(RedisBreakers(connection, is_owned=False, key=key) for connection in (first, second))
            yield BreakerRig((stores[0], stores[1]), anyio.sleep, SystemClock())
            await first.client.delete(key)


async def test_url_chooses_the_store(tmp_path: Path) -> None:
    assert create_breakers().store.name == "memory"
    assert create_breakers(f"sqlite:///{tmp_path}/b.db?synchronous=full").store.name == "sqlite"
    for scheme in REDIS_SCHEMES:
        host = "/run/redis.sock" if scheme == "redis+unix" else "h/name" if "sentinel" in scheme else "h"
        assert create_breakers(f"{scheme}://{host}").store.name == "redis"


async def test_given_connection_is_shared_and_stays_open(redis: Service) -> None:
    url = Url.parse(f"redis://{redis.host}:{redis.port}")
    async with RedisConnection(url) as connection:
        async with open_breaker_store(url, what="x", redis=connection) as _:  # type: ignore[attr-defined]
            pass
        await connection.ping()


async def test_own_connection_is_closed_with_the_store(redis: Service) -> None:
    store = RedisBreakers.from_url(Url.parse(f"redis://{redis.host}:{redis.port}"), what="x")
    async with store:
        await store.ping()


@pytest.mark.parametrize("url", ["memory://?a=1", "sqlite:///b.db?sync=full", "sqlite://b.db"])
def test_wrong_url_is_named(url: str) -> None:
    with pytest.raises(UrlError):
        create_breakers(url)


def test_unknown_scheme_is_named() -> None:
    with pytest.raises(ConfigError, match="no backend for reds"):
        create_breakers("reds://h")


async def test_file_that_cannot_be_used_is_the_store_being_away(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    async with SqliteBreakers(tmp_path / "dir") as store:
        with pytest.raises(BreakersUnavailableError):
            await store.ping()
