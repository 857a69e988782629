"""SQLAlchemy's adapter of an aiosqlite connection, with one visit to its thread for a statement, and a certain end.

SQLAlchemy's own goes to the thread four times for each statement (make a cursor, execute, fetch, close), and each is
two changes of threads. It leaves cursors to be freed in whatever thread, and a task that waits for ever when the end
of a connection is cancelled again. aiosqlite's underscored names are used here only; SQLAlchemy's adapter uses some.
"""

# ruff: noqa: ASYNC100, SLF001 - what is awaited is awaited by the greenlet these run in; names as said above

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import anyio
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection, AsyncAdapt_aiosqlite_cursor
from sqlalchemy.util import EMPTY_DICT, await_
from sqlalchemy.util.concurrency import in_greenlet

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect

_PATIENCE_S = 0.05
_END_S = 2.0


class _Outcome(NamedTuple):
    description: Any = None
    rowcount: int = -1
    lastrowid: int | None = None


class _Cursor(AsyncAdapt_aiosqlite_cursor):
    """Holds what a statement gave; the cursor itself lives and ends in the connection's thread."""

    __slots__ = ("_outcome", "arraysize")

    def __init__(self, adapt_connection: Any) -> None:
        self._adapt_connection = adapt_connection
        self._connection = adapt_connection._connection
        self._soft_closed_memoized = EMPTY_DICT
        self._rows = deque()
        self._outcome = _Outcome()
        self.arraysize = 1

    @property
    def description(self) -> Any:
        return self._outcome.description

    @property
    def rowcount(self) -> int:
        return self._outcome.rowcount

    @property
    def lastrowid(self) -> Any:
        return self._outcome.lastrowid

    def close(self) -> None:
        self._rows.clear()

    async def _async_soft_close(self) -> None:
        """Nothing is open."""

    def execute(self, operation: Any, parameters: Any = None) -> Any:
        self._visit(sqlite3.Cursor.execute, operation, parameters or ())

    def executemany(self, operation: Any, seq_of_parameters: Any) -> Any:
        self._visit(sqlite3.Cursor.executemany, operation, seq_of_parameters)

    def _visit(self, method: Any, operation: str, parameters: Any) -> None:
        adapter, connection = self._adapt_connection, self._connection
        try:
            self._outcome, rows = await_(connection._execute(_executed, connection, method, operation, parameters))
        except Exception as error:
            adapter._handle_exception(error)
        self._rows = deque(rows)


def _executed(connection: Any, method: Any, operation: str, parameters: Any) -> tuple[_Outcome, list[Any]]:
    """Run a statement and fetch all it gives, in the connection's thread."""
    cursor = connection._conn.cursor()
    try:
        method(cursor, operation, parameters)
        rows = cursor.fetchall() if cursor.description else []
        return _Outcome(cursor.description, cursor.rowcount, cursor.lastrowid), rows
    finally:
        cursor.close()


class EndingConnection(AsyncAdapt_aiosqlite_connection):
    """One connection and its thread."""

    __slots__ = ()
    _cursor_cls = _Cursor

    @classmethod
    def open(cls, dialect: Dialect, arguments: tuple[Any, ...], options: dict[str, Any]) -> Self:
        """Connect. Runs in SQLAlchemy's greenlet."""
        dbapi: Any = dialect.loaded_dbapi
        connecting = dbapi.aiosqlite.connect(*arguments, **options)
        connecting._thread.name = f"sqlite {arguments[0] if arguments else ''}"
        connecting._thread.daemon = True  # as SQLAlchemy does: a forgotten one must not keep the process
        return cls(dbapi, await_(connecting))

    def rollback(self) -> None:
        """Roll back what is open; SQLAlchemy does it twice for each session, and a visit costs."""
        raw = self._connection._connection
        if raw is not None and raw.in_transaction:
            super().rollback()

    def terminate(self) -> None:
        """Roll back and close; interrupt a statement that takes longer. Waits a little for it, whoever is cancelled."""
        connection: Any = self._connection
        raw = connection._connection
        if raw is not None:
            # A stream's statement that somebody still refers to, if only in a traceback, keeps a closed connection's
            # transaction open, and with it the write lock.
            connection._tx.put_nowait((None, raw.rollback))
        ended = connection.stop()
        if ended is None or not in_greenlet():
            return
        with anyio.move_on_after(_PATIENCE_S, shield=True):
            await_(asyncio.wait({ended}))
        if not ended.done():
            # Not at once: while a statement waits to be fetched, SQLite would interrupt the rollback too.
            raw.interrupt()
            with anyio.move_on_after(_END_S, shield=True):
                await_(asyncio.wait({ended}))
