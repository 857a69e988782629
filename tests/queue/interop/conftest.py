"""BullMQ's npm package and our engine on one private Redis.

`node` is a Node process for the session, `engine` our engine for one test, `queue` a name that no other test uses.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.connections.redis._servers import RedisServer
from tests.queue.interop._node import Node, install
from undercroft._core.url import Url
from undercroft.queue.redis import RedisQueue

PREFIX = "bull"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis of our own."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="session")
def start_node(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Node]]:
    """Starts a Node process; what still runs at the end of the session is killed."""
    install()
    started: list[Node] = []
    folder: Path = tmp_path_factory.mktemp("node")

    def start() -> Node:
        started.append(Node(server.port, PREFIX, folder / f"{len(started)}.log"))
        return started[-1]

    yield start
    for node in started:
        node.kill()


@pytest.fixture(scope="session")
def node(start_node: Callable[[], Node]) -> Node:
    """A Node process that all tests share."""
    return start_node()


@pytest.fixture
def queue() -> str:
    """A name that no other test uses."""
    return f"interop-{next(_numbers)}"


@pytest.fixture
async def engine(server: RedisServer, anyio_backend: str) -> AsyncIterator[RedisQueue]:
    """Our engine."""
    async with RedisQueue.from_url(Url.parse(f"{server.url}?prefix={PREFIX}", what="queue")) as opened:
        yield opened
