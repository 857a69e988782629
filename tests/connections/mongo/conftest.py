"""A server for each test, and a connection to it."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator

import pytest

from undercroft.connections.mongo import Mongo
from undercroft.testing.mongo_server import MongoServer


@pytest.fixture
async def server() -> AsyncIterator[MongoServer]:
    async with MongoServer() as server:
        yield server


@pytest.fixture
async def mongo(server: MongoServer) -> AsyncIterator[Mongo]:
    async with Mongo(f"{server.url}/shop", server_selection_timeout="3s") as mongo:
        yield mongo


@pytest.fixture
def collected() -> Iterator[None]:
    """Collect in this test what it leaves, not in a later one."""
    yield
    gc.collect()
