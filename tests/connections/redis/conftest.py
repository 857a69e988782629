"""Servers for these tests. Everything here needs the binary `redis-server`."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests._services import Service
from tests.connections.redis._servers import RedisServer
from undercroft.connections.redis import RedisConnection


@pytest.fixture(scope="session", autouse=True)
def _needs_a_server() -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")


@pytest.fixture
def url(redis: Service) -> str:
    """A running server, which other tests use too: keep to keys of your own."""
    return f"redis://{redis.host}:{redis.port}/0"


@pytest.fixture
def key() -> str:
    """A key that nobody else has."""
    return f"test:{secrets.token_hex(8)}"


@pytest.fixture
async def connection(url: str) -> AsyncIterator[RedisConnection]:
    async with RedisConnection(url) as connection:
        yield connection


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of this test alone."""
    with ExitStack() as stack:
        yield stack.enter_context(RedisServer(tmp_path))
