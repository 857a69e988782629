"""The background of the store: opens the file, writes what was taken, keeps it small, and outlives its troubles."""

from __future__ import annotations

import asyncio
import logging as stdlib_logging
import os
import sqlite3
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Self, TypeVar

import anyio

from undercroft._core.background import InBackground
from undercroft._core.clock import Clock
from undercroft._core.errors import CloseTimeoutError, UndercroftError
from undercroft._core.sqlite import SqliteOptions, SqliteStore, StoreUnavailableError
from undercroft.monitoring._recent._buffer import Buffer, Item
from undercroft.monitoring._recent._errors import RecentUnavailableError
from undercroft.monitoring._recent._rows import rows_of
from undercroft.monitoring._recent._values import RecentOptions
from undercroft.monitoring._recent._writing import prune, prune_old, write_rows

T = TypeVar("T")
_log = stdlib_logging.getLogger("undercroft.monitoring")
_WRITE_EVERY_S = 0.25
_ROWS_AT_ONCE = 1_000
_PRUNE_OLD_EVERY_S = 60.0
_OPEN_AGAIN_S = 5.0
_POLL_S = 0.1
"""How soon whoever follows the lines sees those of another process."""
_LAST_S = 2.0
"""What a write may take beyond the wait for another process's lock."""


class Writer:
    """Made and opened with a `RecentStore`, in one event loop. Entering raises when the path is no place for a file;
    a file that cannot be opened is tried again every five seconds, and what comes meanwhile is dropped and counted.
    """

    def __init__(self, path: Path, buffer: Buffer, *, options: RecentOptions, clock: Clock) -> None:
        self.path = path
        self.problem: str | None = None
        self.written_count = 0
        self._buffer = buffer
        self._options = options
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._pid = os.getpid()
        self._store: SqliteStore | None = None
        self._wanted = asyncio.Event()
        self._news = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._is_stopping = False
        self._open_again_at = 0.0
        self._prune_old_at = 0.0
        self._background = InBackground(self._run, self._stop, name="undercroft recent")

    async def __aenter__(self) -> Self:
        await self._open()
        await self._background.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            # An error of the block is the block's: the background must not put it into a group.
            await self._background.__aexit__(None, None, None)
        finally:
            try:
                with anyio.move_on_after(self._options.busy_timeout_s + _LAST_S, shield=True):
                    await self.flush()
            finally:
                self._buffer.close()
                await self._close_file()

    def wake(self) -> None:
        """Write now, and not at the next quarter of a second. From any thread."""
        if self._pid == os.getpid():
            try:
                self._loop.call_soon_threadsafe(self._wanted.set)
            except RuntimeError:
                """The loop is gone, and with it the writing."""

    async def flush(self) -> None:
        """Return when what was taken before is written, or dropped."""
        left = len(self._buffer)
        async with self._one_at_a_time:
            while left > 0 and (items := self._buffer.take(min(left, _ROWS_AT_ONCE))):
                left -= len(items)
                await self._write(items)

    async def read(self, run: Callable[[sqlite3.Connection], T]) -> T:
        """Return what `run` reads.

        Raises:
            RecentUnavailableError: The file did not answer.
        """
        if self._store is None:
            raise RecentUnavailableError(f"recent spans and lines cannot be read: {self.problem}")
        try:
            return await self._store.read(run)
        except StoreUnavailableError as exc:
            raise RecentUnavailableError(exc.message, hint=exc.hint) from exc

    def news(self) -> asyncio.Event:
        """Return an event that is set by the next commit of any process."""
        return self._news

    # --- The file -----------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        self._open_again_at = self._clock.monotonic() + _OPEN_AGAIN_S
        script = resources.files(__package__).joinpath("schema_1.sql").read_text()
        options = SqliteOptions(
            # Without a wait for the disk at each commit. A power cut may cost the last moments, never the file.
            synchronous="normal",
            poll_s=_POLL_S,
            busy_timeout_s=self._options.busy_timeout_s,
        )
        store = SqliteStore(self.path, migrations=(script,), options=options, on_change=self._on_change)
        try:
            await store.__aenter__()
        except StoreUnavailableError as exc:
            self._tell_problem(exc)
        else:
            self._store = store

    async def _open_again(self) -> None:
        """Open the file anew: it was deleted, or replaced, or could not be opened before."""
        try:
            await self._close_file()
        except CloseTimeoutError:
            """It ends by itself, when the disk lets it."""
        try:
            await self._open()
        except UndercroftError as exc:  # its directory cannot be written any more
            self._tell_problem(exc)

    async def _close_file(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            await store.__aexit__()

    def _on_change(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    # --- Writing ------------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self._is_stopping:
            with self._clock.cancel_after(_WRITE_EVERY_S):
                await self._wanted.wait()
            self._wanted.clear()
            if len(self._buffer):
                await self.flush()
            elif self.written_count and self._clock.monotonic() >= self._prune_old_at:
                await self._write([])

    async def _stop(self) -> None:
        self._is_stopping = True
        self._wanted.set()

    async def _write(self, items: list[Item]) -> None:
        try:
            dropped = await self._write_in_time(items)
        except UndercroftError as exc:
            self._buffer.count_dropped(len(items))
            self._tell_problem(exc)
        except BaseException as exc:
            self._buffer.count_dropped(len(items))
            if not isinstance(exc, Exception):
                raise
            self._tell_problem(exc)  # the next rows may be other ones
        else:
            self._buffer.count_dropped(dropped)
            self.written_count += len(items) - dropped
            self._tell_recovery()

    async def _write_in_time(self, items: list[Item]) -> int:
        if self.problem is not None and self._clock.monotonic() >= self._open_again_at:
            await self._open_again()
        if self._store is None:
            raise RecentUnavailableError(self.problem or "the file is not open")
        is_time = self._clock.monotonic() >= self._prune_old_at
        now_ms = round(self._clock.time() * 1000)
        with anyio.move_on_after(self._options.busy_timeout_s + _LAST_S):
            dropped = await self._store.write(lambda db: self._add(db, items, now_ms, is_time=is_time), is_news=True)
            if is_time:
                self._prune_old_at = self._clock.monotonic() + _PRUNE_OLD_EVERY_S
            return dropped
        raise RecentUnavailableError(f"the disk did not take a write to {self.path} in time")

    def _add(self, db: sqlite3.Connection, items: list[Item], now_ms: int, *, is_time: bool) -> int:
        rows = rows_of(items, now_ms=now_ms)
        write_rows(db, rows)
        if is_time:
            prune_old(db, before_ms=now_ms - round(self._options.max_age_s * 1000))
        prune(db, self._options)
        return rows.dropped_count

    def _tell_problem(self, exc: Exception) -> None:
        was_fine = self.problem is None
        self.problem = exc.message if isinstance(exc, UndercroftError) else f"{type(exc).__name__}: {exc}"
        if was_fine:  # once, and not each time: that line is one to be kept too
            self._open_again_at = self._clock.monotonic() + _OPEN_AGAIN_S
            _log.warning("recent spans and lines are not kept: %s", self.problem)

    def _tell_recovery(self) -> None:
        if self.problem is not None:
            self.problem = None
            _log.warning("recent spans and lines are kept again; %d were dropped", self._buffer.dropped_count)
