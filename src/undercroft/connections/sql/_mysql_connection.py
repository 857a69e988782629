"""SQLAlchemy's adapter of an asyncmy connection, with a deadline for every answer of the server.

asyncmy's own `read_timeout` costs a task for each packet it waits for; this costs one timer for each statement. Without
either, a connection whose other end is gone would wait for the kernel's patience, a quarter of an hour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from sqlalchemy.dialects.mysql.asyncmy import (
    AsyncAdapt_asyncmy_connection,
    AsyncAdapt_asyncmy_cursor,
    AsyncAdapt_asyncmy_ss_cursor,
)
from sqlalchemy.util import await_

from undercroft.connections.sql._waiting import Deadline

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect


class _TimedCursor(AsyncAdapt_asyncmy_cursor):
    __slots__ = ()

    def execute(self, operation: Any, parameters: Any = None) -> Any:
        with _of(self).statement():
            return super().execute(operation, parameters)

    def executemany(self, operation: Any, seq_of_parameters: Any) -> Any:
        with _of(self).statement():
            return super().executemany(operation, seq_of_parameters)


class _TimedStream(AsyncAdapt_asyncmy_ss_cursor):
    __slots__ = ()

    def execute(self, operation: Any, parameters: Any = None) -> Any:
        with _of(self).statement():
            return super().execute(operation, parameters)

    def fetchone(self) -> Any:
        with _of(self).statement():
            return super().fetchone()

    def fetchmany(self, size: int | None = None) -> Any:
        with _of(self).statement():
            return super().fetchmany(size)

    def fetchall(self) -> Any:
        with _of(self).statement():
            return super().fetchall()


class TimedConnection(AsyncAdapt_asyncmy_connection):
    """One connection; `timeout_s` bounds each of its statements, `None` does not."""

    __slots__ = ("_is_clean", "timeout_s")
    _cursor_cls = _TimedCursor
    _ss_cursor_cls = _TimedStream
    timeout_s: float | None
    _is_clean: bool

    @classmethod
    def open(
        cls, dialect: Dialect, arguments: tuple[Any, ...], options: dict[str, Any], *, timeout_s: float | None
    ) -> Self:
        """Connect. Runs in SQLAlchemy's greenlet."""
        dbapi: Any = dialect.loaded_dbapi
        connection = await_(cls.create(dbapi, dbapi.asyncmy.connect(*arguments, **options)))
        connection.timeout_s = timeout_s
        connection._is_clean = False  # noqa: SLF001 - its own class
        return connection

    def statement(self) -> Deadline:
        """Return the deadline of a statement that begins."""
        self._is_clean = False
        return Deadline(self.timeout_s)

    def commit(self) -> None:
        with Deadline(self.timeout_s):
            super().commit()
        self._is_clean = True

    def rollback(self) -> None:
        """Roll back, unless nothing happened since the last time: SQLAlchemy does it twice for each session."""
        if self._is_clean:
            return
        with Deadline(self.timeout_s):
            super().rollback()
        self._is_clean = True


def _of(cursor: AsyncAdapt_asyncmy_cursor) -> TimedConnection:
    connection = cursor._adapt_connection  # noqa: SLF001 - where SQLAlchemy keeps it, for its own cursors too
    assert isinstance(connection, TimedConnection)
    return connection
