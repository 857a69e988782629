"""The pool waits, in order, and says who has its connections."""

from __future__ import annotations

import asyncio
import gc
import logging
import re

import anyio
import pytest
from sqlalchemy import text

from tests.connections.sql._databases import Target
from undercroft._core.clock import VirtualClock
from undercroft._core.errors import Kind, NotOpenError
from undercroft.connections.sql import Database, PoolExhaustedError, PoolStatus

pytestmark = pytest.mark.anyio


async def test_session_takes_a_connection_at_its_first_statement(db: Database) -> None:
    async with db.session() as session:
        assert db.pool_status.in_use == 0
        await session.execute(text("SELECT 1"))
        assert db.pool_status.in_use == 1
        await session.commit()
        assert db.pool_status.in_use == 0


async def test_who_comes_when_all_are_in_use_waits_in_order(target: Target) -> None:
    came: list[int] = []

    async def use(number: int) -> None:
        async with db.connection():
            came.append(number)

    async with (
        Database(target.url, pool_size=2) as db,
        anyio.create_task_group() as tasks,
        db.connection(),
        db.connection(),
    ):
        for number in range(20):
            tasks.start_soon(use, number)
            await until(lambda number=number: db.pool_status.waiting == number + 1)
        assert came == []
    assert came == list(range(20))


async def test_a_thousand_sessions_share_three_connections(target: Target) -> None:
    most = 0

    async def use() -> None:
        nonlocal most
        async with db.read_session() as session:
            await session.execute(text("SELECT 1"))
            most = max(most, db.pool_status.in_use)

    async with Database(target.url, pool_size=3) as db:
        async with anyio.create_task_group() as tasks:
            for _ in range(1000):
                tasks.start_soon(use)
        status = db.pool_status
    assert most == 3
    assert (status.in_use, status.idle, status.waiting, status.exhausted_count) == (0, 3, 0, 0)


async def test_exhausted_pool_says_who_holds_it_since_when_and_where(target: Target) -> None:
    clock = VirtualClock()
    async with Database(target.url, pool_size=2, pool_timeout="30s", clock=clock, what="DATABASE_URL") as db:

        async def hold() -> None:
            async with db.session() as session:
                await session.execute(text("SELECT 1"))
                await let_go.wait()

        let_go = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hold, name="report of May")
            await until(lambda: db.pool_status.in_use == 1)
            await clock.advance("12s")
            async with db.connection(), anyio.create_task_group() as more:
                more.start_soon(expect_exhausted, db)
                await until(lambda: db.pool_status.waiting == 1)
                await clock.advance("30s")
            assert db.pool_status == PoolStatus(
                size=2, in_use=1, idle=1, waiting=0, oldest_use_s=42.0, exhausted_count=1
            )
            let_go.set()


async def expect_exhausted(db: Database) -> None:
    with pytest.raises(PoolExhaustedError) as caught:
        async with db.connection():
            pass
    error = caught.value
    assert (error.kind, error.http_status) == (Kind.UNAVAILABLE, 503)
    assert isinstance(error, TimeoutError)
    assert [use.held_s for use in error.uses] == [42.0, 30.0]
    assert error.uses[0].task == "report of May"
    assert all(re.fullmatch(r"sql/test_pool\.py:\d+", use.site or "") for use in error.uses)
    assert "DATABASE_URL: no connection came free within 30s, all 2 are in use: report of May for 42.0s" in str(error)
    assert "pool_size" in str(error)


async def test_cancelled_waiter_takes_nothing_with_it(target: Target) -> None:
    async with Database(target.url, pool_size=1) as db:
        for turns in range(30):
            async with db.connection():
                waiters = [asyncio.create_task(db.ping()) for _ in range(3)]
                await until(lambda: db.pool_status.waiting == 3)
                waiters[1].cancel()
            for _ in range(turns % 6):
                await asyncio.sleep(0)
            waiters[0].cancel()  # before, at, and after the moment it is given the connection
            await asyncio.gather(*waiters[:2], return_exceptions=True)
            with anyio.fail_after(5):
                await waiters[2]
            assert db.pool_status.in_use == 0


async def test_url_sets_the_pool(target: Target) -> None:
    async with Database(target.with_options(pool_size=3, pool_timeout_s=0.05), pool_size=7) as db:
        assert db.pool_status.size == 3
        async with db.connection(), db.connection(), db.connection():
            with pytest.raises(PoolExhaustedError, match="within 50ms"):
                await db.ping()


async def test_pool_that_was_exhausted_serves_again(target: Target) -> None:
    async with Database(target.url, pool_size=1, pool_timeout=0.01) as db:
        async with db.connection():
            for _ in range(3):
                with pytest.raises(PoolExhaustedError):
                    await db.ping()
        await db.ping()
        assert db.pool_status.exhausted_count == 3


async def test_forgotten_connection_is_told_at_the_end_and_cut(
    target: Target, caplog: pytest.LogCaptureFixture
) -> None:
    async with Database(target.url) as db:
        forgotten = db.session()
        session = await forgotten.__aenter__()
        await session.execute(text("SELECT 1"))
        with caplog.at_level(logging.WARNING):
            await db.__aexit__(None, None, None)
        assert "still in use" in caplog.text
        assert re.search(r"test_pool\.py:\d+", str(vars(caplog.records[-1])))
        await forgotten.__aexit__(None, None, None)
        await db.__aenter__()


async def test_waiters_are_told_when_the_database_is_closed(target: Target) -> None:
    db = Database(target.url, pool_size=1)
    async with db:
        held = db.connection()
        await held.__aenter__()
        waiter = asyncio.create_task(db.ping())
        await until(lambda: db.pool_status.waiting == 1)
        await db.__aexit__(None, None, None)
        with pytest.raises(NotOpenError, match="is closed"):
            await waiter
        await held.__aexit__(None, None, None)
        await db.__aenter__()


async def test_dropped_session_gives_its_place_back(target: Target) -> None:
    async with Database(target.url, pool_size=1) as db:

        async def drop() -> None:
            connection = db.engine.connect()
            await connection.start()
            await connection.execute(text("SELECT 1"))
            del connection
            gc.collect()

        with pytest.warns(Warning, match="garbage collector"):
            await drop()
        with anyio.fail_after(5):
            await db.ping()


async def test_engine_used_directly_counts_too(target: Target) -> None:
    async with Database(target.url, pool_size=1, pool_timeout=0.01) as db:
        async with db.engine.connect():
            assert db.pool_status.in_use == 1
            with pytest.raises(PoolExhaustedError) as caught:
                await db.ping()
        assert caught.value.uses[0].site is None


async def until(condition: object, *, seconds: float = 5) -> None:
    with anyio.fail_after(seconds):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0)
