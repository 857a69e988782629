"""Outages of a SQLite file, made of what really happens to files: locks, lost files, and writes that find no room."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol, Self

import anyio
import anyio.to_thread

from undercroft._core.errors import ConfigError
from undercroft.testing._outages.kinds import One, Outage

_LOCK_WAIT_S = 5.0
_WAL_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24  # https://www.sqlite.org/fileformat2.html#the_write_ahead_log
_ALWAYS = (Outage.REFUSED, Outage.STALLED, Outage.OUT_OF_MEMORY)


class RunsOnConnection(Protocol):
    """Runs a function with the connection of the store under test and returns what it returned."""

    def __call__(self, run: Callable[[sqlite3.Connection], object], /) -> Awaitable[object]: ...


class SqliteOutages:
    """A SQLite file in WAL mode that a store of this process has open. The file belongs to the test alone.

    Lives for one `with` or `async with`; opens the file only during outages. At the end of each block of `during`,
    whatever happens in it, everything is as it was.

    - `REFUSED`: the file is gone, and what is in its place cannot be opened. A connection that has it open goes on
      reading, and writes to what nobody will find: a store must notice that.
    - `STALLED`: somebody else holds the write lock. Reading goes on.
    - `OUT_OF_MEMORY`: the log cannot grow (`RLIMIT_FSIZE`), so no write is committed and reading goes on. SQLite says
      "disk I/O error" where a full disk is "database or disk is full"; what it does then is the same. The limit holds
      for this process alone, for connections opened before and after, and *for its other files too*: one that is
      larger than the log cannot grow either.
    - `READ_ONLY`: only with `run`, since nothing outside a connection makes it read-only once it is open: it is told
      `PRAGMA query_only`, and SQLite answers "attempt to write a readonly database".

    There is no `CUT`: no answer of a file comes half.
    """

    def __init__(self, path: Path, *, run: RunsOnConnection | None = None) -> None:
        """Make outages of the file at `path`.

        Args:
            run: What runs a function with the store's own connection, where the store has such a thing.
        """
        self.path = path
        self._run = run
        self._one = One()

    @property
    def supported(self) -> tuple[Outage, ...]:
        """The kinds that `during` takes."""
        return _ALWAYS if self._run is None else (*_ALWAYS, Outage.READ_ONLY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    @asynccontextmanager
    async def during(self, outage: Outage) -> AsyncIterator[None]:
        """Let an outage last for the block.

        Raises:
            ConfigError: It is not supported, another one is going on, the file is not there yet, or not in WAL mode.
        """
        async with AsyncExitStack() as ends:
            ends.enter_context(self._one.begin(outage, self))
            if not self.path.is_file():
                raise ConfigError(f"there is no file {self.path}", hint="use the store once before the outage")
            match outage:
                case Outage.REFUSED:
                    ends.enter_context(_replaced(self.path))
                case Outage.STALLED:
                    await ends.enter_async_context(_locked(self.path))
                case Outage.READ_ONLY:
                    await ends.enter_async_context(self._query_only())
                case _:
                    await ends.enter_async_context(_without_room(self.path))
            yield

    @asynccontextmanager
    async def _query_only(self) -> AsyncIterator[None]:
        assert self._run is not None
        try:
            await self._run(lambda db: db.execute("PRAGMA query_only = ON").fetchall())
            yield
        finally:
            with anyio.CancelScope(shield=True), anyio.fail_after(_LOCK_WAIT_S):
                await self._run(lambda db: db.execute("PRAGMA query_only = OFF").fetchall())


@contextmanager
def _replaced(path: Path) -> Iterator[None]:
    aside = path.with_name(f"{path.name}.aside")
    path.rename(aside)
    try:
        path.mkdir()  # and not another file, which would take the log of the first one for its own
        yield
    finally:
        if path.is_dir():
            path.rmdir()
        aside.rename(path)


@asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    with closing(_connect(path)) as holder:
        await anyio.to_thread.run_sync(holder.execute, "BEGIN IMMEDIATE")
        yield


@asynccontextmanager
async def _without_room(path: Path) -> AsyncIterator[None]:
    with closing(_connect(path)) as reader:
        limit = await anyio.to_thread.run_sync(_pin_log, path, reader)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _pin_log(path: Path, reader: sqlite3.Connection) -> int:
    """Keep the log from being started anew, which would give it room, and return where it ends, in bytes.

    A reader pins the log only while it reads something that is not in the database itself yet; hence the empty change.
    """
    if (mode := _one(reader, "PRAGMA journal_mode")) != "wal":
        raise ConfigError(f"{path} has the journal mode {mode!r}, and not 'wal'")
    version = _one(reader, "PRAGMA user_version")
    reader.execute("BEGIN IMMEDIATE")
    reader.execute(f"PRAGMA user_version = {version}")
    reader.execute("COMMIT")
    reader.execute("BEGIN")
    page_bytes: int = _one(reader, "PRAGMA page_size")
    _one(reader, "SELECT count(*) FROM sqlite_schema")
    with closing(_connect(path)) as other:
        _, frames, _ = other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return _WAL_HEADER_BYTES + int(frames) * (_FRAME_HEADER_BYTES + page_bytes)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_LOCK_WAIT_S, isolation_level=None, check_same_thread=False)


def _one(db: sqlite3.Connection, statement: str) -> Any:
    return db.execute(statement).fetchone()[0]
