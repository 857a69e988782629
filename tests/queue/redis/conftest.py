"""Servers for these tests: Redis and a cluster of it, of their own, empty for each test."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests._services._provide import is_ci, skip_or_fail
from tests.connections.redis._servers import Cluster, RedisServer
from undercroft._core.url import Url
from undercroft.connections.redis import RedisConnection
from undercroft.queue.redis import RedisQueue


@pytest.fixture(scope="session", autouse=True)
def _needs_a_server() -> None:
    if shutil.which("redis-server") is None:
        skip_or_fail("redis-server is not installed", is_ci=is_ci())


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server of this module's tests; see `url`."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of this module's tests."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
async def url(shared_server: RedisServer) -> str:
    """A server that is empty."""
    async with RedisConnection(shared_server.url) as connection:
        await connection.client.flushall()
    return shared_server.url


@pytest.fixture
async def engine(url: str) -> AsyncIterator[RedisQueue]:
    """An engine on the host's clock."""
    async with RedisQueue.from_url(Url.parse(url)) as engine:
        yield engine


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of this test alone, which writes every change to its disk before it answers."""
    with RedisServer(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server:
        yield server
