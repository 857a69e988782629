"""A clock that tests move; a Redis of the module's own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests._services._provide import is_ci, skip_or_fail
from tests.connections.redis._servers import RedisServer
from undercroft._core.clock import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server of this module's tests, which may stop and fill it."""
    if shutil.which("redis-server") is None:
        skip_or_fail("redis-server is not installed", is_ci=is_ci())
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server
