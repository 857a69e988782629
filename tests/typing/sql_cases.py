from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import assert_type

from sqlalchemy import MetaData, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from undercroft._core.url import Url
from undercroft.connections import sql
from undercroft.connections.sql import (
    ClaimResult,
    Database,
    DatabaseError,
    IntegrityError,
    PlannedMigration,
    PoolExhaustedError,
    PoolStatus,
    SqlClaims,
    Use,
    migrate,
    mysql_url,
    plan,
)


class Base(DeclarativeBase): ...


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]


# making
db = Database("sqlite:///app.db", what="DATABASE_URL", pool_size=5, pool_timeout=timedelta(seconds=3), is_lazy=True)
Database(Url.parse("mysql://me@db/shop"), replica="mysql://me@replica/shop", is_replica_optional=True)
assert_type(Database.from_url("sqlite:///app.db", what="x"), Database)
Database("sqlite:///app.db", "DATABASE_URL")  # E: call-arg
Database("sqlite:///app.db", pool_size="10")  # E: arg-type
Database("sqlite:///app.db", pool_sise=10)  # E: call-arg
Database(5)  # E: arg-type
assert_type(mysql_url({"MYSQL_HOST": "db"}), Url | None)
mysql_url({"MYSQL_PORT": 3306})  # E: dict-item


async def using() -> None:
    async with db as opened:
        assert_type(opened, Database)
    async with db.session() as session:
        assert_type(session, AsyncSession)
        assert_type((await session.scalars(select(User))).all(), Sequence[User])
        user = await session.get(User, 1)
        assert_type(user, User | None)
        async with db.transaction(within=session) as inner:
            assert_type(inner, AsyncSession)
    async with db.transaction() as session:
        session.add(User(email="ann@example.com"))
    async with db.read_session() as session:
        assert_type(session, AsyncSession)
    async with db.connection() as connection:
        assert_type(connection, AsyncConnection)
    db.session(is_read_only=True)
    db.session(True)  # E: call-arg
    db.transaction(session)  # E: call-arg
    with db.session():  # E: attr-defined
        pass


async def returning() -> int:
    async with db.transaction() as session:
        session.add(User(email="ann@example.com"))
        return 1


async def asking() -> None:
    await db.ping()
    assert_type(await db.server_version(), str)
    await db.create_all(Base.metadata)
    await db.create_all(MetaData())
    await db.create_all(Base)  # E: arg-type
    assert_type(db.engine, AsyncEngine)
    assert_type(db.pool_status, PoolStatus)
    assert_type(db.replica_pool_status, PoolStatus | None)
    assert_type(db.pool_status.oldest_use_s, float)
    db.pool_status.size = 5  # E: misc
    db.dialect == "mariadb"
    db.dialect == "oracle"  # E: comparison-overlap


async def migrating() -> None:
    assert_type(await migrate(db), list[int])
    steps = await plan(db)
    assert_type(steps, list[PlannedMigration])
    assert_type(steps[0].sql, str)
    await migrate("sqlite:///app.db")  # E: arg-type


async def claiming(claims: SqlClaims) -> None:
    claim = await claims.claim("key", owner="me", lease_s=30)
    assert_type(claim, ClaimResult)
    assert_type(claim.token, int)
    if claim.state == "claimed":
        assert_type(await claims.done("key", claim.token, note="order 7"), bool)
    assert_type(await claims.release("key", claim.token), bool)
    assert_type(await claims.prune(datetime.now()), int)
    await claims.claim("key", "me", 30)  # E: call-arg
    await claims.prune(timedelta(days=1))  # E: arg-type


def catching(error: DatabaseError) -> None:
    assert_type(error.vendor_code, str | None)
    if isinstance(error, IntegrityError):
        assert_type(error.columns, tuple[str, ...])
        error.rule == "unique"
    if isinstance(error, PoolExhaustedError):
        assert_type(error.uses, tuple[Use, ...])


def module(variables: Mapping[str, str]) -> None:
    sql.Database
    mysql_url(variables)
