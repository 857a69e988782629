"""Databases to test on, and the models of an application."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import asyncmy
import asyncpg
import pytest
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SERVERS = [
    pytest.param("mariadb", marks=pytest.mark.mariadb),
    pytest.param("postgres", marks=pytest.mark.postgres),
]


class Base(DeclarativeBase):
    """An application's own models."""


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(100), unique=True)
    name: Mapped[str | None] = mapped_column(String(20), default=None)


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A database to test on."""

    kind: str
    """`sqlite`, `mariadb` or `postgres`."""
    url: str
    host: str = ""
    port: int = 0
    name: str = ""

    def with_options(self, **options: object) -> str:
        """Return the URL with options."""
        return f"{self.url}?{'&'.join(f'{key}={value}' for key, value in options.items())}"


class Place(Protocol):
    """Where a server listens."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


def of_server(kind: str, service: Place) -> Iterator[Target]:
    """Make a database on a server for the block."""
    name = f"undercroft_test_{secrets.token_hex(6)}"
    quoted = {"mariadb": f"`{name}`", "postgres": f'"{name}"'}[kind]
    scheme, user = {"mariadb": ("mysql", "root"), "postgres": ("postgresql", "postgres")}[kind]
    run(kind, service.host, service.port, f"CREATE DATABASE {quoted}")
    try:
        url = f"{scheme}://{user}@{service.host}:{service.port}/{name}"
        yield Target(kind=kind, url=url, host=service.host, port=service.port, name=name)
    finally:
        force = " WITH (FORCE)" if kind == "postgres" else ""
        run(kind, service.host, service.port, f"DROP DATABASE {quoted}{force}")


def emptied(target: Target) -> Target:
    """Drop everything in it."""
    statements = {
        "mariadb": [f"DROP DATABASE `{target.name}`", f"CREATE DATABASE `{target.name}`"],
        "postgres": ["DROP SCHEMA public CASCADE", "CREATE SCHEMA public"],
    }[target.kind]
    database = target.name if target.kind == "postgres" else None  # there, dropping a whole one takes a checkpoint
    run(target.kind, target.host, target.port, *statements, database=database)
    return target


def run(kind: str, host: str, port: int, *statements: str, database: str | None = None) -> None:
    """Run statements as the server's own administrator, each by itself."""
    asyncio.run(administer(kind, host, port, *statements, database=database))


async def administer(kind: str, host: str, port: int, *statements: str, database: str | None = None) -> None:
    """Do what `run` does, in an event loop."""
    await (_run_mariadb if kind == "mariadb" else _run_postgres)(host, port, statements, database)


async def _run_mariadb(host: str, port: int, statements: tuple[str, ...], database: str | None) -> None:
    async with asyncmy.connect(host=host, port=port, user="root", database=database, autocommit=True) as connection:
        for statement in statements:
            async with connection.cursor() as cursor:
                await cursor.execute(statement)


async def _run_postgres(host: str, port: int, statements: tuple[str, ...], database: str | None) -> None:
    connection = await asyncpg.connect(host=host, port=port, user="postgres", database=database or "postgres")
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
