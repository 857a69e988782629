"""A Redis for these tests: the shared one, under keys of this test alone."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator

import pytest

from tests._services._server import Service
from undercroft.connections.redis import RedisConnection

_numbers = itertools.count()


@pytest.fixture
def redis_url(redis: Service) -> str:
    """The shared server."""
    return f"redis://{redis.host}:{redis.port}/0"


@pytest.fixture
async def connection(redis_url: str) -> AsyncIterator[RedisConnection]:
    """A connection to it."""
    async with RedisConnection(redis_url) as connection:
        yield connection


@pytest.fixture
async def prefix(connection: RedisConnection) -> AsyncIterator[str]:
    """A prefix of keys that no other test has; they are removed afterwards."""
    prefix = f"test-limits-{os.getpid()}-{next(_numbers)}"
    yield prefix
    async for key in connection.client.scan_iter(match=f"{prefix}:*", count=1000):
        await connection.client.unlink(key)
