"""Bytes in the store that are not ours: misses, and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.connections.redis._servers import RedisServer
from undercroft._core.url import Url
from undercroft.cache import MISSING, Cache, CacheBackend, Item
from undercroft.cache.redis import RedisCache
from undercroft.cache.sqlite import SqliteCache

SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
some_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
).map(lambda value: _json(value))
damage = st.binary(max_size=200) | some_json


def _json(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError):
        return b"null"


class User(msgspec.Struct):
    name: str


async def read_damaged(backend: CacheBackend, data: bytes) -> None:
    async with Cache[User](backend, namespace=uuid4().hex, schema=User) as cache:
        await cache.set("a", User("Ada"), "1m")
        assert await cache.get("a") == User("Ada")
        await backend.write(cache.namespace, [Item("a", data, 60.0)])
        assert await cache.get("a", MISSING) is MISSING
        assert await cache.get_many(["a"]) == {}
        assert not await cache.exists("a")

        async def compute() -> User:
            return User("Grace")

        assert await cache.get_or_set("a", compute, "1m", tags=["t"]) == User("Grace")
        assert await cache.get("a") == User("Grace")


@given(data=damage)
@SETTINGS
def test_in_sqlite(tmp_path: Path, data: bytes) -> None:
    asyncio.run(read_damaged(SqliteCache(tmp_path / "cache.db"), data))


@pytest.mark.redis
@given(data=damage)
@SETTINGS
def test_in_redis(shared_server: RedisServer, data: bytes) -> None:
    asyncio.run(read_damaged(RedisCache.from_url(Url.parse(shared_server.url)), data))
