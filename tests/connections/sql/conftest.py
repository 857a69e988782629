"""Three real databases for every test: a SQLite file, and a database of its own on MariaDB and on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests._services import Service
from tests.connections.sql._databases import SERVERS, Base, Target, emptied, of_server
from undercroft.connections.sql import Database


@pytest.fixture(params=["sqlite", *SERVERS])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    """An empty database, each kind in turn."""
    if request.param == "sqlite":
        return Target(kind="sqlite", url=f"sqlite:///{tmp_path / 'app.db'}")
    return emptied(request.getfixturevalue(f"{request.param}_database"))


@pytest.fixture(params=SERVERS)
def server_target(request: pytest.FixtureRequest) -> Target:
    """An empty database on each of the servers."""
    return emptied(request.getfixturevalue(f"{request.param}_database"))


@pytest.fixture(scope="session")
def mariadb_database(mariadb: Service) -> Iterator[Target]:
    """A database of this session's own; dropped at its end."""
    yield from of_server("mariadb", mariadb)


@pytest.fixture(scope="session")
def postgres_database(postgres: Service) -> Iterator[Target]:
    """A database of this session's own; dropped at its end."""
    yield from of_server("postgres", postgres)


@pytest.fixture
async def db(target: Target) -> AsyncIterator[Database]:
    """An open database with the models' tables."""
    async with Database(target.url) as db:
        await db.create_all(Base.metadata)
        yield db
