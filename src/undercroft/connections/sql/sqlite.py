"""SQLite through aiosqlite: one thread for each connection, WAL, one writer at a time.

Every transaction begins with `BEGIN IMMEDIATE`, unless it is a read-only one: a transaction that starts as a reader and
upgrades fails at once on a stale snapshot, and the busy timeout does not apply to that.

URL: `sqlite:///var/app.db?synchronous=full|normal&busy_timeout_s=5`
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from undercroft._core.sqlite_place import require_local_writable
from undercroft._core.url import Url, UrlError
from undercroft.connections.sql._errors import DatabaseError, DatabaseNotWritableError
from undercroft.connections.sql._options import SqliteOptions
from undercroft.connections.sql._protocol import DialectName
from undercroft.connections.sql._sqlite_errors import is_busy, translate_sqlite

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
    from sqlalchemy.ext.asyncio import AsyncEngine

_RARE_LOCK_S = 1.0
"""What statements other than BEGIN wait for: a checkpoint, or the recovery of the file after a crash."""
_READ_ONLY = "undercroft_is_read_only"
_NEXT_TRY_S = 0.002


class SqliteDriver:
    """One SQLite file. See `Driver`."""

    extra: ClassVar[str] = "sql"
    packages: ClassVar[tuple[str, ...]] = ("sqlalchemy", "greenlet", "aiosqlite")
    is_remote: ClassVar[bool] = False
    read_only_options: ClassVar[Mapping[str, Any]] = {_READ_ONLY: True}
    dialect: DialectName = "sqlite"

    def __init__(self, path: Path, options: SqliteOptions | None = None) -> None:
        self._path = path
        self._options = options or SqliteOptions()
        self.place = str(path)
        self.limits = self._options.limits
        self.connect_timeout_s = self._options.busy_timeout_s + 5.0

    @classmethod
    def from_url(cls, url: Url, *, what: str = "database") -> Self:
        """Make the driver of a `sqlite:///` URL.

        Raises:
            UrlError: No path, an unknown option, or a database in memory, of which each connection has its own.
        """
        path = url.file_path(what=what)
        if path.startswith((":memory:", "file:")):
            raise UrlError(
                f"{what}: {path!r} is not a file, and every connection of a pool would have a database of its own",
                hint="use a file in a temporary directory",
            )
        return cls(Path(path), url.options_as(SqliteOptions, what=what))

    def engine_arguments(self) -> dict[str, Any]:
        """See `Driver`."""
        from sqlalchemy.engine import URL

        return {
            "url": URL.create("sqlite+aiosqlite", database=str(self._path)),
            # Without this level Python's module would begin transactions by itself, and not immediately.
            "connect_args": {"isolation_level": None, "timeout": _RARE_LOCK_S},
        }

    def connect(self, dialect: Dialect, arguments: tuple[Any, ...], options: dict[str, Any]) -> DBAPIConnection:
        """Open the file; makes its directory when it is missing.

        Raises:
            StoreNotWritableError: The directory or file cannot be written, or is on a network file system.
        """
        from sqlalchemy.util import await_

        from undercroft.connections.sql._sqlite_connection import EndingConnection

        require_local_writable(self._path)
        connection = EndingConnection.open(dialect, arguments, options)
        try:
            await_(self._set_up(connection.driver_connection))
        except BaseException:
            connection.terminate()
            raise
        return cast("DBAPIConnection", connection)

    def listen(self, engine: AsyncEngine, read_only: AsyncEngine) -> None:  # noqa: ARG002 - it has the events of both
        """See `Driver`."""
        from sqlalchemy import event

        event.listen(engine.sync_engine, "begin", self._begin)

    def translate(self, exc: BaseException) -> DatabaseError | None:
        """See `Driver`."""
        return translate_sqlite(exc, self.place)

    async def _set_up(self, connection: Any) -> None:
        deadline = time.monotonic() + self._options.busy_timeout_s
        while True:
            try:
                # The busy timeout does not apply while another process does the same, or recovers the file.
                modes = await connection.execute_fetchall("PRAGMA journal_mode = WAL")
                break
            except Exception as exc:
                if not is_busy(exc) or time.monotonic() >= deadline:
                    raise
            await asyncio.sleep(_NEXT_TRY_S)
        if [row[0] for row in modes] != ["wal"]:
            raise DatabaseNotWritableError(f"SQLite cannot use WAL for {self.place}", hint="use a file on a local disk")
        await connection.executescript(
            f"PRAGMA synchronous = {self._options.synchronous}; PRAGMA foreign_keys = ON; PRAGMA query_only = 0"
        )

    def _begin(self, connection: Connection) -> None:
        """Begin with one visit to the connection's thread; wait here, where it can be cancelled, and not there."""
        from sqlalchemy.util import await_

        options = connection.get_execution_options()
        is_read_only = bool(options.get(_READ_ONLY))
        begin = "BEGIN" if is_read_only else "BEGIN IMMEDIATE"
        if options.get("isolation_level") == "AUTOCOMMIT":
            begin = ""
        try:
            await_(self._patiently(connection.connection.driver_connection, is_read_only, begin))
        except BaseException as exc:
            if not isinstance(exc, Exception):
                connection.invalidate(exc)  # cancelled: its thread may be beginning right now
            problem = translate_sqlite(exc, self.place)
            if problem is not None:
                raise problem from exc
            raise

    async def _patiently(self, connection: Any, is_read_only: bool, begin: str) -> None:
        wait_ms = int(_RARE_LOCK_S * 1000)
        # SQLite's own handler sleeps up to 100 ms between tries, in the thread, and may starve.
        script = f"PRAGMA query_only = {int(is_read_only)}; PRAGMA busy_timeout = 0; {begin}; "
        script += f"PRAGMA busy_timeout = {wait_ms}"
        deadline = time.monotonic() + self._options.busy_timeout_s
        while True:
            try:
                await connection.executescript(script)
            except Exception as exc:
                if not is_busy(exc) or time.monotonic() >= deadline:
                    raise
            else:
                return
            await asyncio.sleep(_NEXT_TRY_S * random.uniform(0.5, 1.5))
