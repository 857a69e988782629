"""What all parts of the SQLite engine share: the store, the clock, and who waits for what."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TypeVar

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.sqlite import SqliteOptions, SqliteStore, StoreUnavailableError
from undercroft.queue._errors import QueueUnavailableError
from undercroft.queue.sqlite._step import Step, as_json

T = TypeVar("T")
MIGRATIONS = ("schema_1.sql", "schema_2.sql")


class SqliteBase:
    """The engine without its methods. `path` is the database file."""

    def __init__(self, path: Path, *, options: SqliteOptions | None = None, clock: Clock | None = None) -> None:
        self.path = path
        self.options = options or SqliteOptions()
        self._clock = clock or SystemClock()
        self._changes = 0
        self._waiters: set[asyncio.Future[None]] = set()
        self._ends: dict[str, set[asyncio.Future[None]]] = {}
        self._looks_for_ends = False
        scripts = tuple(resources.files(__package__).joinpath(name).read_text() for name in MIGRATIONS)
        self._store = SqliteStore(path, migrations=scripts, options=options, on_change=self._on_others_commit)

    def time(self) -> float:
        return self._clock.time()

    # --- The store --------------------------------------------------------------------------------------------------

    def _submit(self, work: Callable[[Step], T]) -> asyncio.Future[tuple[T, Step]]:
        now = self._clock.time()

        def run(db: sqlite3.Connection) -> tuple[T, Step]:
            step = Step(db, now)
            result = work(step)
            step.finish()
            return result, step

        return self._store.submit(run, on_commit=lambda done: self._on_own_commit(done[1]))

    async def _write(self, work: Callable[[Step], T]) -> T:
        with translated():
            result, _ = await self._submit(work)
            return result

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with translated():
            return await self._store.read(work)

    # --- Waiting ----------------------------------------------------------------------------------------------------

    @property
    def changes(self) -> int:
        return self._changes

    def _on_own_commit(self, step: Step) -> None:
        if step.has_news or step.ended:
            self._wake()
        if self._ends:
            for job_id in step.ended:
                self._wake_for(job_id)

    def _on_others_commit(self) -> None:
        self._wake()
        if self._ends and not self._looks_for_ends:
            self._looks_for_ends = True
            wanted = as_json(self._ends)
            look = self._store.submit(lambda db: [job_id for (job_id,) in db.execute(ENDED, (wanted,)).fetchall()])
            look.add_done_callback(self._on_ends_found)

    def _on_ends_found(self, look: asyncio.Future[list[str]]) -> None:
        self._looks_for_ends = False
        # When the store did not answer, those who wait look for themselves, and are told.
        for job_id in [*self._ends] if look.cancelled() or look.exception() else look.result():
            self._wake_for(job_id)

    def _wake(self) -> None:
        self._changes += 1
        for waiter in self._waiters:
            settle(waiter)

    def _wake_for(self, job_id: str) -> None:
        for waiter in self._ends.get(job_id, ()):
            settle(waiter)

    def _wake_all(self) -> None:
        self._wake()
        for job_id in self._ends:
            self._wake_for(job_id)

    async def _wait_for_change(self, since: int, *, timeout: float) -> None:
        if self._changes > since:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            with self._clock.cancel_after(timeout):
                await waiter
        finally:
            self._waiters.discard(waiter)

    async def _wait_for_end_of(self, job_id: str, *, timeout: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ends.setdefault(job_id, set()).add(waiter)
        try:
            with self._clock.cancel_after(timeout):
                # Looked at only now that it is waited for: an end before this would not be told.
                if not await self._read(lambda db: db.execute(ENDED, (as_json([job_id]),)).fetchone()):
                    await waiter
        finally:
            self._ends[job_id].discard(waiter)
            if not self._ends[job_id]:
                del self._ends[job_id]


def settle(waiter: asyncio.Future[None]) -> None:
    """Wake whoever awaits this future, if it is not awake yet."""
    if not waiter.done():
        waiter.set_result(None)


@contextmanager
def translated() -> Iterator[None]:
    """Turn the store's errors into the queue's."""
    try:
        yield
    except StoreUnavailableError as exc:
        raise QueueUnavailableError(exc.message, hint=exc.hint) from exc


# In any queue: an id that ended in one and waits in another is reported early, which is allowed.
ENDED = """
SELECT v.value FROM json_each(?) v
WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE id = v.value AND state NOT IN ('completed', 'failed'))"""
