"""One SQLite file, one owned thread, group commit.

SQLite lets one writer in at a time, so a process gains nothing from several connections: here one thread opens and owns
the connection, takes all the work that waits, runs it in a single `BEGIN IMMEDIATE` transaction, and answers everybody
after the one commit. With `synchronous=FULL` a commit costs an fsync; ten callers share it.

`BEGIN IMMEDIATE`, always: a transaction that starts as a reader and upgrades fails at once on a stale snapshot, and the
busy timeout does not apply to that.

Longer than most files: the thread's life, its batches and who waits for them share all of their state.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, Self, TypeVar, cast

import anyio
import msgspec

from undercroft._core.errors import CloseTimeoutError, NotOpenError
from undercroft._core.sqlite_errors import (
    StoreNotWritableError,
    StoreUnavailableError,
    StoreVersionError,
    copy_of,
    is_about_the_file,
    is_busy,
    translated,
)
from undercroft._core.sqlite_place import file_system_of, require_local_writable
from undercroft._core.sqlite_script import statements

__all__ = [
    "SqliteOptions",
    "SqliteStore",
    "StoreNotWritableError",
    "StoreUnavailableError",
    "StoreVersionError",
    "file_system_of",
]

T = TypeVar("T")
_MAX_BATCH = 500
_CACHE_KIB = 16_384
_LAST_BATCH_S = 10.0
"""What a closing store gets for its last work, beyond the wait for another process's lock."""
_IDLE_S = 0.5
"""How often a thread that looks for nobody's commits sees whether its event loop is still there."""


class SqliteOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a `sqlite:///` URL."""

    synchronous: Literal["full", "normal"] = "full"
    """`full` survives a power cut; `normal` is faster and may lose the last commits then (never on a mere crash)."""
    poll_s: Annotated[float, msgspec.Meta(ge=0.001, le=60)] = 0.02
    """How often another process's commits are looked for, seconds, from 0.001 to 60."""
    busy_timeout_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 5.0
    """How long a write waits for another process's write, seconds, up to an hour."""


@dataclass(slots=True)
class _Work(Generic[T]):
    run: Callable[[sqlite3.Connection], T]
    future: asyncio.Future[T]
    is_write: bool
    is_news: bool
    on_commit: Callable[[T], None] | None
    result: T | None = None
    error: BaseException | None = None


class SqliteStore:
    """A SQLite file, opened by `async with`, used through `write` and `read` from one event loop.

    Opening raises `StoreNotWritableError`, `StoreVersionError` or `StoreUnavailableError`. Closing finishes the work
    that was accepted. The thread also ends when its event loop was closed without that.

    Args:
        path: The database file; its directory is made when it is missing.
        migrations: SQL scripts; number n brings the file from version n to n+1. Applied at open, all of them or none,
            safe when several processes open together.
        on_change: Called in the event loop after a commit that is news: one of this process that said so, or, at most
            `poll_s` later, any of another process. Without it nobody looks, and an idle store costs nothing.
        is_lazy: The file is opened by the first call, which raises what opening would have raised; the next call after
            that tries again.
    """

    def __init__(
        self,
        path: Path,
        *,
        migrations: tuple[str, ...],
        options: SqliteOptions | None = None,
        on_change: Callable[[], None] | None = None,
        is_lazy: bool = False,
    ) -> None:
        self.path = path
        self._migrations = migrations
        self._options = options or SqliteOptions()
        self._on_change = on_change
        self._is_lazy = is_lazy
        self._is_entered = False
        self._waiting: queue.SimpleQueue[_Work[Any] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._has_ended: asyncio.Future[None] | None = None
        self._pid = 0
        self._inode: int | None = None

    async def __aenter__(self) -> Self:
        self._loop, self._pid = asyncio.get_running_loop(), os.getpid()
        self._waiting = queue.SimpleQueue()
        if not self._is_lazy:
            thread, is_open = self._start(self._loop)
            try:
                await is_open
            except asyncio.CancelledError:
                await self._end(thread)  # whatever it has opened by then
                raise
            self._thread = thread
        self._is_entered = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_entered = False
        thread, self._thread = self._thread, None
        if thread is None or os.getpid() != self._pid:
            return
        if not await self._end(thread):
            raise CloseTimeoutError(f"the store {self.path.name} is still writing; it closes when that is done")

    async def write(self, run: Callable[[sqlite3.Connection], T], *, is_news: bool = False) -> T:
        """Run `run` inside a transaction, shared with whatever else is waiting, and return after its commit.

        With `is_news`, `on_change` is called after the commit.
        What `run` did is undone when it raises; the others of the same transaction are not touched by that. `run` may
        be called a second time, when another of its transaction raised and all was rolled back: what it does must
        depend on the connection and on nothing that an earlier call of it changed.
        Cancellation: the caller stops waiting, the work may still be done.

        Raises:
            StoreUnavailableError: SQLite did not take it; nothing was written. With a broken constraint or a wrong
                statement that is so for this `run` alone, with a full disk for all that shared the transaction.
            NotOpenError: The store is not open in this process.
        """
        return await self._submit(run, is_write=True, is_news=is_news)

    async def read(self, run: Callable[[sqlite3.Connection], T]) -> T:
        """Run `run`, which only reads, and return what it returns. Raises as `write` does, and may repeat it too."""
        return await self._submit(run, is_write=False)

    def submit(
        self, run: Callable[[sqlite3.Connection], T], *, on_commit: Callable[[T], None] | None = None
    ) -> asyncio.Future[T]:
        """Begin a `write` and return its future, for a caller that does not wait.

        `on_commit` is called in the event loop with what `run` returned, also when nobody waits any more.
        """
        return self._submit(run, is_write=True, on_commit=on_commit)

    def _submit(
        self,
        run: Callable[[sqlite3.Connection], T],
        *,
        is_write: bool,
        is_news: bool = False,
        on_commit: Callable[[T], None] | None = None,
    ) -> asyncio.Future[T]:
        if not self._is_entered or self._loop is None:
            raise NotOpenError(f"the store {self.path.name} is not open", hint="use it inside `async with`")
        if os.getpid() != self._pid:
            raise NotOpenError(
                f"the store {self.path.name} was opened before this process was forked",
                hint="open the Infra after the fork, in each process",
            )
        work: _Work[T] = _Work(run, self._loop.create_future(), is_write, is_news, on_commit)
        self._waiting.put(work)
        if self._thread is None:
            self._thread, is_open = self._start(self._loop)
            is_open.add_done_callback(self._see_opened)
        return work.future

    def _start(self, loop: asyncio.AbstractEventLoop) -> tuple[threading.Thread, asyncio.Future[None]]:
        is_open: asyncio.Future[None] = loop.create_future()
        self._has_ended = has_ended = loop.create_future()
        thread = threading.Thread(target=self._live, args=(is_open, has_ended), name=f"sqlite {self.path.name}")
        thread.start()
        return thread, is_open

    def _see_opened(self, is_open: asyncio.Future[None]) -> None:
        """Have those who wait told that the file could not be opened late; their next call tries again."""
        error = is_open.exception()
        if error is None:
            return
        self._thread = None
        with suppress(queue.Empty):
            while True:
                if (work := self._waiting.get_nowait()) is not None:
                    _settle(work.future, None, copy_of(error))

    async def _end(self, thread: threading.Thread) -> bool:
        """Tell the thread to end, wait for what it is doing, and say whether it did end."""
        self._waiting.put(None)
        ended = cast("asyncio.Future[None]", self._has_ended)
        # Not by joining in one of anyio's threads: all of those may be taken by what hangs.
        with anyio.move_on_after(self._options.busy_timeout_s + _LAST_BATCH_S, shield=True):
            await asyncio.shield(ended)
            thread.join()
        return ended.done()

    def _live(self, is_open: asyncio.Future[None], has_ended: asyncio.Future[None]) -> None:
        try:
            connection = self._connect()
        except BaseException as exc:  # whoever opens it is told
            self._call_soon(_settle, is_open, None, exc)
        else:
            seen = _data_version(connection)  # before it counts as open: what is committed from then on is news
            self._call_soon(_settle, is_open, None, None)
            try:
                self._serve(connection, seen)
            finally:
                connection.close()
        finally:
            self._call_soon(_settle, has_ended, None, None)

    def _connect(self) -> sqlite3.Connection:
        require_local_writable(self.path)
        with translated(self.path):
            connection = sqlite3.connect(
                self.path, timeout=self._options.busy_timeout_s, isolation_level=None, cached_statements=256
            )
            try:
                self._use_wal(connection)
                connection.execute(f"PRAGMA synchronous = {self._options.synchronous}")
                connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
                if self._version(connection) < len(self._migrations):
                    self._migrate(connection)
                connection.execute("PRAGMA busy_timeout = 0")  # from here on `_patiently` waits
                self._inode = self.path.stat().st_ino
            except BaseException:
                connection.close()
                raise
            return connection

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        # The busy timeout does not apply here, while another process does the same or recovers the file.
        mode = self._patiently(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        if mode != "wal":
            raise StoreNotWritableError(
                f"SQLite cannot use WAL for {self.path}, only {mode!r}", hint="use a file on a local disk"
            )

    def _version(self, connection: sqlite3.Connection) -> int:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > len(self._migrations):
            raise StoreVersionError(
                f"{self.path.name} has version {version}, this undercroft knows up to {len(self._migrations)}",
                hint="upgrade undercroft, or point it at another file",
            )
        return version

    def _migrate(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")  # before reading the version again: another process may be migrating
        for script in self._migrations[self._version(connection) :]:
            for statement in statements(script):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(self._migrations)}")
        connection.execute("COMMIT")

    def _serve(self, connection: sqlite3.Connection, seen: int) -> None:
        loop, look_at = cast("asyncio.AbstractEventLoop", self._loop), time.monotonic()
        while not loop.is_closed():
            batch, is_last = self._take(timeout=look_at - time.monotonic())
            if batch:
                self._run(connection, batch)
                self._call_soon(self._answer, batch)
            if is_last:
                return
            if time.monotonic() < look_at:  # also under constant work, which never lets the wait time out
                continue
            look_at = time.monotonic() + (_IDLE_S if self._on_change is None else self._options.poll_s)
            if self._on_change is not None:
                seen, before = _data_version(connection, otherwise=seen), seen
                if seen != before:
                    self._call_soon(self._on_change)

    def _take(self, *, timeout: float) -> tuple[list[_Work[Any]], bool]:
        """Return all the work that waits, at least one piece unless time is up, and whether it was the last."""
        batch: list[_Work[Any]] = []
        try:
            work = self._waiting.get(timeout=max(0, timeout))
        except queue.Empty:
            return batch, False
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
                    self._patiently(lambda: self._read_all(connection, batch))
                    return
                self._require_same_file()
                self._begin(connection)
                if not self._write_all(connection, batch):
                    connection.execute("ROLLBACK")
                    if len(batch) == 1:
                        return
                    # Only now does each get a savepoint: one costs as much as a short piece of work.
                    self._begin(connection)
                    for work in batch:
                        self._attempt_undoable(connection, work)
                connection.execute("COMMIT")
        except Exception as exc:  # the thread must survive; every caller of this batch is told
            with suppress(sqlite3.Error):  # SQLite has rolled back already after some errors
                connection.execute("ROLLBACK")
            for work in batch:
                work.error = copy_of(exc)

    def _require_same_file(self) -> None:
        """Refuse to write to a file that nobody can find any more: it goes with the last process that has it open."""
        try:
            found: int | None = self.path.stat().st_ino
        except OSError:
            found = None
        if found != self._inode:
            raise StoreUnavailableError(
                f"the store {self.path} was deleted or replaced while it was open; nothing was written",
                hint="put the file back, or restart the process so that it opens the new one",
            )

    def _read_all(self, connection: sqlite3.Connection, batch: list[_Work[Any]]) -> None:
        for work in batch:
            self._attempt(connection, work)

    def _write_all(self, connection: sqlite3.Connection, batch: list[_Work[Any]]) -> bool:
        """Run all of it; `False` as soon as a write has raised, after which the transaction is of no use."""
        for work in batch:
            self._attempt(connection, work)
            if work.error is not None and work.is_write:
                return False
        return True

    def _attempt(self, connection: sqlite3.Connection, work: _Work[Any]) -> None:
        work.error = None
        try:
            with translated(self.path):
                result = work.run(connection)
                # A cursor must die in this thread: freed in another one, it resets a cached statement in use here.
                work.result = None if isinstance(result, sqlite3.Cursor) else result
        except BaseException as exc:  # a SystemExit too belongs to who asked, and not to the thread
            if is_about_the_file(exc):
                raise
            work.error = exc

    def _attempt_undoable(self, connection: sqlite3.Connection, work: _Work[Any]) -> None:
        if not work.is_write:
            self._attempt(connection, work)
            return
        connection.execute("SAVEPOINT work")
        self._attempt(connection, work)
        if work.error is not None:
            connection.execute("ROLLBACK TO work")
        connection.execute("RELEASE work")

    def _begin(self, connection: sqlite3.Connection) -> None:
        self._patiently(lambda: connection.execute("BEGIN IMMEDIATE"))

    def _patiently(self, run: Callable[[], T]) -> T:
        # SQLite's own busy handler sleeps up to 100 ms between tries and may starve; ours retries every millisecond.
        deadline = time.monotonic() + self._options.busy_timeout_s
        while True:
            try:
                return run()
            except (sqlite3.OperationalError, StoreUnavailableError) as exc:
                if not is_busy(exc) or time.monotonic() >= deadline:
                    raise
                time.sleep(0.001)

    def _call_soon(self, function: Callable[..., None], *args: object) -> None:
        loop = cast("asyncio.AbstractEventLoop", self._loop)
        try:
            loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            if not loop.is_closed():  # the program is gone, and with it everybody who waited
                raise

    def _answer(self, batch: list[_Work[Any]]) -> None:
        for work in batch:
            _settle(work.future, work.result, work.error)
            if work.on_commit is not None and work.error is None:
                work.on_commit(work.result)
        if self._on_change is not None and any(work.is_news and work.error is None for work in batch):
            self._on_change()


def _settle(future: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
    if future.done():
        return  # its caller was cancelled
    if isinstance(error, StopIteration):  # a future cannot carry it
        wrapped = RuntimeError("the work raised StopIteration")
        wrapped.__cause__ = error
        error = wrapped
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _data_version(connection: sqlite3.Connection, *, otherwise: int = -1) -> int:
    try:
        return int(connection.execute("PRAGMA data_version").fetchone()[0])
    except sqlite3.Error:
        return otherwise  # the next piece of work meets the same trouble, and has somebody to tell
