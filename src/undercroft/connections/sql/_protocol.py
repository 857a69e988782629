"""What a database backend is, and the values that the facade gives out.

A `Driver` knows one family of databases: its URL, how to connect, and what its errors mean. It is made without
importing SQLAlchemy, does no I/O before `connect`, and lives as long as its `Database`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from undercroft._core.clock import Clock
from undercroft.connections.sql._errors import DatabaseError

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
    from sqlalchemy.ext.asyncio import AsyncEngine

DialectName = Literal["sqlite", "mysql", "mariadb", "postgresql"]
Site = tuple[str, int]
"""File and line, where a connection was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus:
    """A pool of connections, at this moment."""

    size: int
    """The most connections there may be."""
    in_use: int
    """Taken, those included that are being opened."""
    idle: int
    """Open and free."""
    waiting: int
    """Tasks that wait for one."""
    oldest_use_s: float
    """For how long the longest use has been going on; 0 without any."""
    exhausted_count: int
    """How often a wait ended with `PoolExhaustedError` since the database was opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """What a URL says about its pool; `None` leaves it to the arguments of `Database`."""

    size: int | None
    timeout_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRules:
    """How large a pool is, how long it makes wait, and whose it is."""

    size: int
    timeout_s: float
    clock: Clock
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMigration:
    """One step of the schema that a database has yet to take."""

    number: int
    title: str
    works_with: int
    """The oldest schema number whose release still works beside it."""
    sql: str
    """The statements, in the database's dialect, as an administrator could run them."""


class Driver(Protocol):
    """One database as its URL names it."""

    extra: ClassVar[str]
    """undercroft's extra that brings its packages."""
    packages: ClassVar[tuple[str, ...]]
    """Modules that must be importable."""
    is_remote: ClassVar[bool]
    """Whether a connection can break while nobody uses it."""
    read_only_options: ClassVar[Mapping[str, Any]]
    """SQLAlchemy's execution options that make a transaction read-only."""
    dialect: DialectName
    """As the URL says; the server may turn out to be MariaDB."""
    place: str
    """Where the database is, for errors: without user and password."""
    limits: PoolLimits
    connect_timeout_s: float

    def engine_arguments(self) -> dict[str, Any]:
        """Return `url` and `connect_args` for SQLAlchemy's `create_async_engine`; reads certificates where named."""

    def connect(self, dialect: Dialect, arguments: tuple[Any, ...], options: dict[str, Any]) -> DBAPIConnection:
        """Open one connection and set its session up. Runs in SQLAlchemy's greenlet; the caller has a deadline."""

    def listen(self, engine: AsyncEngine, read_only: AsyncEngine) -> None:
        """Add what is particular to this family, such as how a transaction begins, to the one or to both.

        `read_only` is the same engine with `read_only_options`.
        """

    def translate(self, exc: BaseException) -> DatabaseError | None:
        """Return our error for the driver's, or `None` for what is not a driver's."""
