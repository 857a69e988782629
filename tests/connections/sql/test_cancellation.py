"""Cancelled at any await: rolled back or whole, the connection back in the pool or closed, nothing left behind."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import anyio
import pytest
from sqlalchemy import func, select, text

from tests.connections.sql._databases import Target, User
from undercroft.connections.sql import Database

pytestmark = pytest.mark.anyio
CANCELS = 300
POOL = 4


async def test_cancelled_at_any_moment_leaves_nothing_behind(target: Target) -> None:
    rng = random.Random(20261120)
    finished: set[str] = set()
    cancelled: set[str] = set()

    async def work(name: str) -> None:
        async with db.transaction() as session:
            session.add(User(email=name, name="1"))
            await session.flush()
            await session.execute(text("UPDATE users SET name = '2' WHERE email = :email"), {"email": name})
            await session.scalar(select(func.count()).select_from(User))

    async with Database(target.url, pool_size=POOL) as db:
        await db.create_all(User.metadata)
        how_long = min(0.02, await typical_s(lambda: work("first")))
        while len(cancelled) < CANCELS:
            names = [f"{len(finished)}-{len(cancelled)}-{number}" for number in range(6)]
            tasks = {name: asyncio.create_task(cancel_either_way(work(name), rng)) for name in names}
            for name in rng.sample(names, 5):
                await asyncio.sleep(rng.uniform(0, how_long / 3))
                tasks[name].cancel()
            await asyncio.wait(tasks.values())
            for name, task in tasks.items():
                (cancelled if task.cancelled() or task.result() is False else finished).add(name)

        status = db.pool_status
        assert (status.in_use, status.waiting) == (0, 0)
        assert status.idle <= POOL
        async with db.read_session() as session:
            rows = {row.email: row.name for row in (await session.scalars(select(User))).all()}
        assert finished <= rows.keys()
        # Whoever was cancelled in the middle of its commit may be there, and then as a whole.
        assert rows.keys() - finished <= cancelled | {"first"}
        assert set(rows.values()) == {"2"}
        await assert_server_sees_no_more_than(POOL, db)
        async with anyio.create_task_group() as group:  # every place of the pool can still be used, at once
            barrier = asyncio.Barrier(POOL)
            for _ in range(POOL):
                group.start_soon(use_with_others, db, barrier)


async def cancel_either_way(work: Awaitable[None], rng: random.Random) -> bool:
    """Run it as asyncio's task alone, or in anyio's scope with a deadline, which cancels again and again."""
    if rng.random() < 0.5:
        await work
        return True
    with anyio.move_on_after(rng.uniform(0.001, 0.02)) as scope:
        await work
    return not scope.cancelled_caught


async def typical_s(work: Callable[[], Awaitable[None]]) -> float:
    start = asyncio.get_running_loop().time()
    await work()
    return asyncio.get_running_loop().time() - start


async def use_with_others(db: Database, barrier: asyncio.Barrier) -> None:
    async with db.read_session() as session:
        await session.execute(text("SELECT 1"))
        with anyio.fail_after(5):
            await barrier.wait()


async def assert_server_sees_no_more_than(limit: int, db: Database) -> None:
    """Count our connections where the server counts them; one that was just closed may need a moment."""
    statement = {
        "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()",
        "mariadb": "SELECT count(*) FROM information_schema.processlist WHERE db = DATABASE()",
    }.get(db.dialect, "SELECT 0")
    with anyio.fail_after(5):
        while True:
            async with db.read_session() as session:
                if (await session.scalar(text(statement)) or 0) <= limit:
                    return
            await asyncio.sleep(0.01)


async def test_transaction_of_a_cancelled_task_is_rolled_back_at_once(target: Target) -> None:
    async with Database(target.url) as db:
        await db.create_all(User.metadata)
        has_written = anyio.Event()

        async def write_and_wait() -> None:
            async with db.transaction() as session:
                session.add(User(email="ann@example.com"))
                await session.flush()
                has_written.set()
                await anyio.sleep_forever()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write_and_wait)
            await has_written.wait()
            tasks.cancel_scope.cancel()

        with anyio.fail_after(1):  # its row, and on SQLite its write lock, are free
            async with db.transaction() as session:
                session.add(User(email="ann@example.com"))
        assert db.pool_status.in_use == 0


async def test_long_statement_is_left_within_a_second(target: Target) -> None:
    slow = {
        "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
        "mariadb": "SELECT SLEEP(30)",
        "postgres": "SELECT pg_sleep(30)",
    }[target.kind]
    async with Database(target.url) as db:
        with anyio.fail_after(3):
            with anyio.move_on_after(0.1) as scope:
                async with db.read_session() as session:
                    await session.execute(text(slow))
            assert scope.cancelled_caught
            await db.ping()
        assert db.pool_status.in_use == 0


async def test_waiting_for_sqlites_write_lock_can_be_cancelled(tmp_path: object) -> None:
    async with Database(f"sqlite:///{tmp_path}/app.db?busy_timeout_s=60") as db:
        await db.create_all(User.metadata)
        async with db.transaction() as session:
            await session.execute(text("SELECT 1"))
            with anyio.fail_after(1), anyio.move_on_after(0.05) as scope:
                async with db.transaction() as waiting:
                    await waiting.execute(text("SELECT 1"))
            assert scope.cancelled_caught
        async with db.transaction() as session:
            await session.execute(text("SELECT 1"))
