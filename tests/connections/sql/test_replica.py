"""`read_session()` reads from the replica; from the primary only without one, or when that was declared."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.connections.sql._databases import Target
from undercroft._core.clock import VirtualClock
from undercroft.connections.sql import Database, DatabaseNotWritableError, DatabaseUnavailableError, PoolStatus
from undercroft.testing.fault_proxy import FaultProxy

pytestmark = pytest.mark.anyio


async def marked(url: str, mark: str) -> str:
    """Give a SQLite file a table that tells which file it is."""
    async with Database(url) as db, db.connection() as connection:
        await connection.execute(text(f"CREATE TABLE here AS SELECT '{mark}' AS name"))
        await connection.commit()
    return url


async def where(db: Database) -> str:
    async with db.read_session() as session:
        return str(await session.scalar(text("SELECT name FROM here")))


async def test_reads_go_to_the_replica_and_writes_to_the_primary(tmp_path: Path) -> None:
    primary = await marked(f"sqlite:///{tmp_path}/primary.db", "primary")
    replica = await marked(f"sqlite:///{tmp_path}/replica.db", "replica")

    async with Database(primary, replica=f"{replica}?pool_size=2") as db:
        assert await where(db) == "replica"
        async with db.transaction() as session:
            assert await session.scalar(text("SELECT name FROM here")) == "primary"
        with pytest.raises(DatabaseNotWritableError):
            async with db.read_session() as session:
                await session.execute(text("DELETE FROM here"))
        assert db.replica_pool_status == PoolStatus(
            size=2, in_use=0, idle=1, waiting=0, oldest_use_s=0.0, exhausted_count=0
        )
    async with Database(primary) as db:
        assert await where(db) == "primary"
        assert db.replica_pool_status is None


async def test_replica_that_is_down_is_an_error_and_not_a_fallback(tmp_path: Path) -> None:
    primary = await marked(f"sqlite:///{tmp_path}/primary.db", "primary")
    replica = "postgresql://me@127.0.0.1:1/shop"

    with pytest.raises(DatabaseUnavailableError, match=r"database \(replica\)"):
        async with Database(primary, replica=replica):
            pass
    async with Database(primary, replica=replica, is_lazy=True) as db:
        with pytest.raises(DatabaseUnavailableError):
            await where(db)


async def test_optional_replica_is_left_alone_while_it_is_down_and_then_used_again(
    server_target: Target, caplog: pytest.LogCaptureFixture
) -> None:
    clock = VirtualClock()
    await marked(server_target.url, "there")
    async with FaultProxy(server_target.host, server_target.port) as proxy:
        replica = server_target.url.replace(f":{server_target.port}/", f":{proxy.port}/")
        await proxy.refuse()
        async with Database(server_target.url, replica=replica, is_replica_optional=True, clock=clock) as db:
            with caplog.at_level(logging.WARNING):
                assert await where(db) == "there"
            assert "reading from the primary" in caplog.text
            proxy.heal()
            assert await where(db) == "there"
            assert proxy.counts.accepted == 0
            await clock.advance("5s")
            assert await where(db) == "there"
            assert proxy.counts.accepted == 1
