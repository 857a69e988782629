"""Servers for these tests: Redis and a cluster of it, of their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests._services._provide import is_ci, skip_or_fail
from tests.connections.redis._servers import Cluster, RedisServer


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server that tests may configure, stop and empty."""
    if shutil.which("redis-server") is None:
        skip_or_fail("redis-server is not installed", is_ci=is_ci())
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three primaries that share the slots."""
    if shutil.which("redis-server") is None:
        skip_or_fail("redis-server is not installed", is_ci=is_ci())
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The server, empty."""
    redis_server.cli("flushall")
    return redis_server.url
