"""One SQLite file, one owned thread, group commit.

SQLite lets one writer in at a time, so a process gains nothing from several connections: here one thread owns the
connection, takes all the work that waits, runs it in a single `BEGIN IMMEDIATE` transaction, and answers everybody
after the one commit. With `synchronous=FULL` a commit costs an fsync; ten callers share it.

`BEGIN IMMEDIATE`, always: a transaction that starts as a reader and upgrades fails at once on a stale snapshot, and the
busy timeout does not apply to that.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, Self, TypeVar, cast

import anyio
import msgspec

from undercroft._core.errors import ConfigError, Kind, NotOpenError, UndercroftError

T = TypeVar("T")
_MAX_BATCH = 500
_NETWORK_FILE_SYSTEMS = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "afs",
    "ceph",
    "glusterfs",
    "lustre",
    "9p",
    "fuse.sshfs",
}
_MOUNTS = Path("/proc/self/mounts")


class SqliteOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a `sqlite:///` URL."""

    synchronous: Literal["full", "normal"] = "full"
    """`full` survives a power cut; `normal` is faster and may lose the last commits then (never on a mere crash)."""
    poll_s: float = 0.02
    """How often another process's commits are looked for, seconds."""
    busy_timeout_s: float = 5.0
    """How long a write waits for another process's write, seconds."""


class StoreUnavailableError(UndercroftError):
    """The SQLite file did not take the work: disk full, read-only, locked too long, damaged. Nothing was written."""

    code = "UC0401"
    kind = Kind.UNAVAILABLE
    http_status = 503


class StoreNotWritableError(ConfigError):
    """The directory or file cannot be written, or is on a file system that SQLite's locks do not work on."""

    code = "UC0402"


class StoreVersionError(ConfigError):
    """The file was written by a newer version of undercroft."""

    code = "UC0403"


@dataclass(slots=True)
class _Work(Generic[T]):
    run: Callable[[sqlite3.Connection], T]
    future: asyncio.Future[T]
    is_write: bool
    is_news: bool
    result: T | None = None
    error: BaseException | None = None


class SqliteStore:
    """A SQLite file, opened by `async with`, used through `write` and `read` from one event loop.

    Args:
        path: The database file; its directory is made when it is missing.
        migrations: SQL scripts; number n brings the file from version n to n+1. Applied at open, safe when several
            processes open together.
        on_change: Called in the event loop after a commit that is news: one of this process that said so, or, at most
            `poll_s` later, any of another process.
    """

    def __init__(
        self,
        path: Path,
        *,
        migrations: tuple[str, ...],
        options: SqliteOptions | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.path = path
        self._migrations = migrations
        self._options = options or SqliteOptions()
        self._on_change = on_change
        self._waiting: queue.SimpleQueue[_Work[Any] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0

    async def __aenter__(self) -> Self:
        self._loop, self._pid = asyncio.get_running_loop(), os.getpid()
        connection = await anyio.to_thread.run_sync(self._connect)
        self._thread = threading.Thread(target=self._serve, args=(connection,), name=f"sqlite {self.path.name}")
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._waiting.put(None)
            await anyio.to_thread.run_sync(thread.join)

    async def write(self, run: Callable[[sqlite3.Connection], T], *, is_news: bool = False) -> T:
        """Run `run` inside a transaction, shared with whatever else is waiting, and return after its commit.

        With `is_news`, `on_change` is called after the commit.
        What `run` did is undone when it raises; the others of the same transaction are not touched by that.
        Cancellation: the caller stops waiting, the work may still be done.

        Raises:
            StoreUnavailableError: The file did not take it; nothing was written.
        """
        return await self._submit(run, is_write=True, is_news=is_news)

    async def read(self, run: Callable[[sqlite3.Connection], T]) -> T:
        """Run `run`, which only reads, and return what it returns."""
        return await self._submit(run, is_write=False, is_news=False)

    async def _submit(self, run: Callable[[sqlite3.Connection], T], *, is_write: bool, is_news: bool) -> T:
        if self._thread is None or self._loop is None:
            raise NotOpenError(f"the store {self.path.name} is not open", hint="use it inside `async with`")
        if os.getpid() != self._pid:
            raise NotOpenError(
                f"the store {self.path.name} was opened before this process was forked",
                hint="open the Infra after the fork, in each process",
            )
        work: _Work[T] = _Work(run, self._loop.create_future(), is_write, is_news)
        self._waiting.put(work)
        return await work.future

    def _connect(self) -> sqlite3.Connection:
        _require_local_writable(self.path)
        with translated(self.path):
            connection = sqlite3.connect(
                self.path,
                timeout=self._options.busy_timeout_s,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
            )
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(f"PRAGMA synchronous = {self._options.synchronous}")
                self._migrate(connection)
            except BaseException:
                connection.close()
                raise
            return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")  # before reading the version: another process may be migrating
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > len(self._migrations):
            connection.execute("ROLLBACK")
            raise StoreVersionError(
                f"{self.path.name} has version {version}, this undercroft knows up to {len(self._migrations)}",
                hint="upgrade undercroft, or point it at another file",
            )
        for script in self._migrations[version:]:
            for statement in script.split(";\n"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(self._migrations)}")
        connection.execute("COMMIT")

    def _serve(self, connection: sqlite3.Connection) -> None:
        seen = _data_version(connection)
        while True:
            try:
                first = self._waiting.get(timeout=self._options.poll_s)
            except queue.Empty:
                now = _data_version(connection)
                if now != seen:
                    seen = now
                    self._call_soon(self._on_change)
                continue
            batch, is_last = self._take(first)
            self._run(connection, batch)
            if batch:
                self._call_soon(self._answer, batch)
            if is_last:
                connection.close()
                return

    def _take(self, first: _Work[Any] | None) -> tuple[list[_Work[Any]], bool]:
        batch: list[_Work[Any]] = []
        work = first
        while work is not None:
            batch.append(work)
            if len(batch) == _MAX_BATCH:
                return batch, False
            try:
                work = self._waiting.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _run(self, connection: sqlite3.Connection, batch: list[_Work[Any]]) -> None:
        try:
            with translated(self.path):
                if not any(work.is_write for work in batch):
                    for work in batch:
                        _attempt(connection, work)
                    return
                self._begin(connection)
                for work in batch:
                    _attempt_undoable(connection, work)
                connection.execute("COMMIT")
        except Exception as exc:  # the thread must survive; every caller of this batch is told
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            for work in batch:
                work.error = exc

    def _begin(self, connection: sqlite3.Connection) -> None:
        # SQLite's own busy handler sleeps up to 100 ms between tries and may starve; ours retries every millisecond.
        deadline = time.monotonic() + self._options.busy_timeout_s
        connection.execute("PRAGMA busy_timeout = 0")
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as exc:
                if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                    raise
                time.sleep(0.001)
            else:
                return

    def _call_soon(self, function: Callable[..., None], *args: object) -> None:
        loop = cast("asyncio.AbstractEventLoop", self._loop)
        try:
            loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            if not loop.is_closed():  # the program is gone, and with it everybody who waited
                raise

    def _answer(self, batch: list[_Work[Any]]) -> None:
        for work in batch:
            if work.future.done():
                continue  # its caller was cancelled
            if work.error is not None:
                work.future.set_exception(work.error)
            else:
                work.future.set_result(work.result)
        if any(work.is_news and work.error is None for work in batch):
            self._on_change()


class translated:  # noqa: N801 - reads as a statement
    """Turn sqlite3's errors into `StoreUnavailableError`, naming the file and what SQLite said."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, exc: BaseException | None, __: object) -> None:
        if isinstance(exc, sqlite3.Error):
            name = getattr(exc, "sqlite_errorname", type(exc).__name__)
            raise StoreUnavailableError(
                f"the store {self._path} did not take the work: {exc} ({name})", hint=_HINTS.get(name[:11])
            ) from exc


_HINTS = {
    "SQLITE_FULL": "free space on its disk; it goes on by itself when there is some",
    "SQLITE_READ": "make the file and its directory writable for this user",
    "SQLITE_BUSY": "another process holds a long write; look for a script with an open transaction",
    "SQLITE_IOER": "look at the disk and at the kernel's log",
    "SQLITE_CORR": "the file is damaged; restore it from a backup",
    "SQLITE_NOTA": "the file is not a SQLite database; point the URL at another one",
}


def _attempt(connection: sqlite3.Connection, work: _Work[Any]) -> None:
    try:
        work.result = work.run(connection)
    except sqlite3.Error:
        raise
    except Exception as exc:
        work.error = exc


def _attempt_undoable(connection: sqlite3.Connection, work: _Work[Any]) -> None:
    if not work.is_write:
        _attempt(connection, work)
        return
    connection.execute("SAVEPOINT work")
    _attempt(connection, work)
    if work.error is not None:
        connection.execute("ROLLBACK TO work")
    connection.execute("RELEASE work")


def _data_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


def _require_local_writable(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise StoreNotWritableError(
            f"the directory {path.parent} cannot be made: {exc.strerror}", hint="choose another path, or fix its rights"
        ) from exc
    target = path if path.exists() else path.parent
    if not os.access(target, os.W_OK) or not os.access(path.parent, os.W_OK):
        raise StoreNotWritableError(
            f"{target} is not writable for this user", hint="choose another path, or fix its rights"
        )
    file_system = file_system_of(path.parent)
    if file_system in _NETWORK_FILE_SYSTEMS:
        raise StoreNotWritableError(
            f"{path} is on a network file system ({file_system}), where SQLite's locks and WAL do not work",
            hint="use a local disk, or a server's URL such as redis://",
        )


def file_system_of(path: Path, mounts: str | None = None) -> str | None:
    """Return the type of the file system that holds `path`, where the platform tells (`/proc/self/mounts`)."""
    if mounts is None:
        try:
            mounts = _MOUNTS.read_text()
        except OSError:
            return None
    best, found = -1, None
    resolved = path.resolve()
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(fields[1].replace("\\040", " "))
        if resolved.is_relative_to(point) and len(point.parts) >= best:
            best, found = len(point.parts), fields[2]
    return found
