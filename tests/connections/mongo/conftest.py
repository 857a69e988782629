"""A server for each test, and a connection to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

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
