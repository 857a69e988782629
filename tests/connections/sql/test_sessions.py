"""Sessions and transactions, the same on every database."""

from __future__ import annotations

import anyio
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from tests.connections.sql._databases import Base, Order, Target, User
from undercroft._core.errors import NotOpenError
from undercroft.connections.sql import Database, DatabaseNotWritableError

pytestmark = pytest.mark.anyio


async def emails(db: Database) -> list[str]:
    async with db.read_session() as session:
        return list((await session.scalars(select(User.email).order_by(User.email))).all())


async def add_and_fail(db: Database, email: str, *, within: AsyncSession | None = None) -> None:
    async with db.transaction(within=within) as session:
        session.add(User(email=email))
        await session.flush()
        raise RuntimeError("no")


async def test_transaction_is_committed_at_the_end(db: Database) -> None:
    async with db.transaction() as session:
        session.add(User(email="ann@example.com"))

    assert await emails(db) == ["ann@example.com"]


async def test_transaction_is_rolled_back_when_the_block_raises(db: Database) -> None:
    with pytest.raises(RuntimeError, match="no"):
        await add_and_fail(db, "ann@example.com")

    assert await emails(db) == []
    assert db.pool_status.in_use == 0


async def test_session_commits_only_what_it_is_told_to(db: Database) -> None:
    async with db.session() as session:
        session.add(User(email="ann@example.com"))
        await session.commit()
        session.add(User(email="bob@example.com"))
        await session.flush()

    assert await emails(db) == ["ann@example.com"]


async def test_objects_stay_usable_after_the_commit(db: Database) -> None:
    async with db.transaction() as session:
        user = User(email="ann@example.com")
        session.add(user)

    assert (user.id, user.email) == (1, "ann@example.com")


async def test_savepoint_rolls_back_only_its_part(db: Database) -> None:
    async with db.transaction() as session:
        session.add(User(email="ann@example.com"))
        with pytest.raises(RuntimeError, match="no"):
            await add_and_fail(db, "bob@example.com", within=session)
        async with db.transaction(within=session) as inner:
            assert inner is session
            inner.add(User(email="cid@example.com"))

    assert await emails(db) == ["ann@example.com", "cid@example.com"]


async def test_connection_rolls_back_what_was_not_committed(db: Database) -> None:
    insert = text("INSERT INTO users (email) VALUES (:email)")
    async with db.connection() as connection:
        await connection.execute(insert, {"email": "ann@example.com"})
        await connection.commit()
        await connection.execute(insert, {"email": "bob@example.com"})

    assert await emails(db) == ["ann@example.com"]


@pytest.mark.parametrize("how", ["read_session", "session"])
async def test_read_only_session_refuses_to_write(db: Database, how: str) -> None:
    async with db.read_session() if how == "read_session" else db.session(is_read_only=True) as session:
        assert (await session.scalars(select(User))).all() == []
        session.add(User(email="ann@example.com"))
        with pytest.raises(DatabaseNotWritableError, match="UC4215") as caught:
            await session.flush()

    assert "transaction()" in str(caught.value)
    async with db.transaction() as session:  # the connection that only read can write again
        session.add(User(email="bob@example.com"))
    assert await emails(db) == ["bob@example.com"]


async def test_read_session_sees_the_moments_of_its_database(db: Database) -> None:
    # PostgreSQL's default is READ COMMITTED: there, each statement sees its own.
    later = 1 if db.dialect == "postgresql" else 0
    async with db.read_session() as reader:
        assert await reader.scalar(select(func.count()).select_from(User)) == 0
        async with db.transaction() as session:
            session.add(User(email="ann@example.com"))
        assert await reader.scalar(select(func.count()).select_from(User)) == later


async def test_readers_do_not_wait_for_a_writer(db: Database) -> None:
    async with db.transaction() as session:
        session.add(User(email="ann@example.com"))
        await session.flush()
        with anyio.fail_after(2):
            assert await emails(db) == []


async def test_concurrent_increments_lose_none(db: Database) -> None:
    async with db.transaction() as session:
        session.add(User(email="counter", name="0"))

    async def increment() -> None:
        for _ in range(5):
            async with db.transaction() as session:
                # Read, then write: without the write lock from the first statement on, SQLite would fail here.
                counter = (await session.scalars(select(User).where(User.email == "counter").with_for_update())).one()
                counter.name = str(int(counter.name or 0) + 1)

    async with anyio.create_task_group() as tasks:
        for _ in range(12):
            tasks.start_soon(increment)

    async with db.read_session() as session:
        assert await session.scalar(select(User.name).where(User.email == "counter")) == "60"


async def test_foreign_keys_are_kept(db: Database) -> None:
    async with db.transaction() as session:
        session.add(User(email="ann@example.com"))
        await session.flush()
        session.add(Order(user_id=1))

    async with db.read_session() as session:
        assert await session.scalar(select(func.count()).select_from(Order)) == 1


async def test_create_all_makes_what_is_missing(db: Database) -> None:
    await db.create_all(Base.metadata)

    assert await emails(db) == []


async def test_sessions_have_utc(server_target: Target) -> None:
    statement = {"postgres": "SHOW timezone", "mariadb": "SELECT @@session.time_zone"}[server_target.kind]
    async with Database(server_target.url) as db, db.read_session() as session:
        assert await session.scalar(text(statement)) in ("UTC", "+00:00")


async def test_server_says_who_it_is(db: Database, target: Target) -> None:
    version = await db.server_version()

    assert version[0].isdigit()
    assert db.dialect == {"postgres": "postgresql"}.get(target.kind, target.kind)
    assert db.engine.dialect.name == {"mariadb": "mysql"}.get(db.dialect, db.dialect)


async def test_closed_database_is_not_used_and_can_be_opened_again(target: Target) -> None:
    db = Database(target.url)
    with pytest.raises(NotOpenError, match="async with"):
        db.transaction()
    for _ in range(2):
        async with db:
            await db.ping()
        assert (db.pool_status.in_use, db.pool_status.idle) == (0, 0)
    with pytest.raises(NotOpenError):
        await db.ping()


async def test_open_database_is_not_opened_twice(db: Database) -> None:
    with pytest.raises(NotOpenError, match="open already"):
        await db.__aenter__()
    await db.ping()


async def test_engine_kept_beyond_the_end_opens_nothing(target: Target) -> None:
    async with Database(target.url) as db:
        engine = db.engine
    with pytest.raises(NotOpenError):
        async with engine.connect():
            pass
