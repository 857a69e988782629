"""The queue in one SQLite file: for one machine and any number of its processes.

Every write is one `BEGIN IMMEDIATE` transaction on the process's one writer thread, shared by whoever writes at that
moment (`_core.sqlite`). A claim is a single `UPDATE … RETURNING`. Workers that die are noticed by their lock file
(`_liveness`), those that hang by their lease.

URL: `sqlite:///var/queue.db?synchronous=full|normal&poll_s=0.02&busy_timeout_s=5`
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from undercroft._core.clock import Clock, SystemClock, utc
from undercroft._core.sqlite import SqliteOptions, SqliteStore, StoreUnavailableError
from undercroft._core.url import Url
from undercroft.queue import _sqlite_statements as sql
from undercroft.queue._backoff import Backoff
from undercroft.queue._errors import QueueUnavailableError
from undercroft.queue._liveness import WorkerLocks
from undercroft.queue._protocol import (
    Claim,
    ClaimedJob,
    Completed,
    Counts,
    Failed,
    JobRecord,
    JobState,
    NewJob,
    Rescued,
)

T = TypeVar("T")
_PRUNE_LIMIT = 500


class SqliteQueue:
    """The SQLite engine. Opened by `async with`; used from one event loop; lives as long as its `Infra`."""

    name = "sqlite"

    def __init__(self, path: Path, *, options: SqliteOptions | None = None, clock: Clock | None = None) -> None:
        self.path = path
        self._clock = clock or SystemClock()
        self._locks = WorkerLocks(path.with_name(f"{path.name}-workers"))
        self._own_workers: set[str] = set()
        self._waiters: set[asyncio.Future[None]] = set()
        self._changes = 0
        migrations = (resources.files(__package__).joinpath("sqlite.sql").read_text(),)
        self._store = SqliteStore(path, migrations=migrations, options=options, on_change=self._wake)

    @classmethod
    def from_url(cls, url: Url, *, what: str = "queue", clock: Clock | None = None) -> Self:
        """Build the engine for a `sqlite:///` URL. Opens nothing yet."""
        options = url.options_as(SqliteOptions, what=what)
        return cls(Path(url.file_path(what=what)), options=options, clock=clock)

    async def __aenter__(self) -> Self:
        await self._store.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._wake()
        await self._store.__aexit__(*exc_info)

    async def ping(self) -> None:
        await self._read(lambda db: db.execute("SELECT 1 FROM jobs LIMIT 1").fetchone())

    async def add(self, jobs: Sequence[NewJob]) -> None:
        now = self._clock.time()
        rows = [_row_of(job, now) for job in jobs]
        await self._write(lambda db: db.executemany(sql.ADD, rows), is_news=True)

    async def claim(
        self, *, queues: Sequence[str], names: Sequence[str], limit: int, worker_id: str, lease_s: float
    ) -> Claim:
        now = self._clock.time()

        def run(db: sqlite3.Connection) -> Claim:
            _promote_due(db, now)
            rows = db.execute(
                sql.CLAIM.format(queues=_marks(queues), names=_marks(names)),
                (worker_id, now + lease_s, now, *queues, *names, limit),
            ).fetchall()
            next_due = db.execute(sql.NEXT_DUE.format(queues=_marks(queues)), tuple(queues)).fetchone()[0]
            # RETURNING gives rows in any order; the token rises and ids sort by time, so order by what we claimed by.
            ordered = sorted(rows, key=lambda row: row[-2:])
            return Claim(jobs=tuple(_claimed_of(row[:-2]) for row in ordered), next_due_at=next_due)

        return await self._write(run)

    async def park_unknown(self, *, queues: Sequence[str], names: Sequence[str]) -> list[tuple[str, str]]:
        marks, values = {"queues": _marks(queues), "names": _marks(names)}, (*queues, *names)
        # Most of the time there is nothing to park: look before taking the write lock.
        if not await self._read(lambda db: db.execute(sql.UNKNOWN.format(**marks), values).fetchone()):
            return []
        return await self._write(lambda db: db.execute(sql.PARK.format(**marks), values).fetchall())

    async def finish(self, job: ClaimedJob, outcome: Completed | Failed) -> bool:
        now = self._clock.time()
        values: tuple[object, ...]
        if isinstance(outcome, Completed):
            statement, values = sql.COMPLETE, (outcome.result.decode(), now, job.id, job.token)
        elif outcome.retry_at is None:
            statement, values = sql.FAIL, (outcome.error_type, outcome.error, now, job.id, job.token)
        else:
            is_due = outcome.retry_at <= now
            state = JobState.WAITING if is_due else JobState.DELAYED
            statement = sql.RETRY
            values = (state, outcome.retry_at, outcome.error_type, outcome.error, job.id, job.token)
        return await self._write(lambda db: db.execute(statement, values).rowcount == 1, is_news=True)

    async def extend(self, jobs: Sequence[ClaimedJob], *, lease_s: float) -> list[ClaimedJob]:
        until = self._clock.time() + lease_s

        def run(db: sqlite3.Connection) -> list[ClaimedJob]:
            return [job for job in jobs if db.execute(sql.EXTEND, (until, job.id, job.token)).rowcount == 0]

        return await self._write(run)

    async def release(self, jobs: Sequence[ClaimedJob]) -> None:
        claims = [(job.id, job.token) for job in jobs]
        await self._write(lambda db: db.executemany(sql.RELEASE, claims), is_news=True)

    async def rescue(self, *, max_crashes: int, again_after_s: float) -> list[Rescued]:
        now = self._clock.time()
        holders = await self._read(lambda db: db.execute(sql.HOLDERS).fetchall())
        dead = [worker for (worker,) in holders if worker not in self._own_workers and self._locks.is_dead(worker)]
        has_expired = await self._read(lambda db: db.execute(sql.EXPIRED, (now,)).fetchone())
        if not dead and not has_expired:
            return []

        def run(db: sqlite3.Connection) -> list[Rescued]:
            statement = sql.RESCUE.format(workers=_marks(dead))
            again_at = now + again_after_s
            values = (max_crashes, again_at, max_crashes, now, max_crashes, max_crashes, now, *dead)
            rows = db.execute(statement, values).fetchall()
            return [Rescued(id=i, name=n, worker_id=w, is_quarantined=state == "failed") for i, n, w, state in rows]

        rescued = await self._write(run, is_news=True)
        for worker in dead:
            self._locks.forget(worker)
        return rescued

    @asynccontextmanager
    async def attend(self, worker_id: str) -> AsyncIterator[None]:
        with self._locks.hold(worker_id):
            self._own_workers.add(worker_id)
            try:
                yield
            finally:
                self._own_workers.discard(worker_id)

    async def get(self, job_id: str) -> JobRecord | None:
        row = await self._read(lambda db: db.execute(f"{sql.SELECT} WHERE id = ?", (job_id,)).fetchone())
        return _record_of(row) if row else None

    async def list_jobs(
        self, *, state: JobState | None = None, queue: str | None = None, limit: int = 100
    ) -> list[JobRecord]:
        values = (state, state, queue, queue, limit)
        rows = await self._read(lambda db: db.execute(f"{sql.SELECT} {sql.FILTER}", values).fetchall())
        return [_record_of(row) for row in rows]

    async def counts(self, *, queue: str | None = None) -> Counts:
        rows = await self._read(lambda db: db.execute(sql.COUNT, (queue, queue)).fetchall())
        return Counts(**dict(rows))

    async def prune(self, *, completed_before: float, failed_before: float) -> int:
        values = (completed_before, failed_before, _PRUNE_LIMIT)
        if not await self._read(lambda db: db.execute(sql.PRUNABLE, values[:2]).fetchone()):
            return 0
        return await self._write(lambda db: db.execute(sql.PRUNE, values).rowcount)

    @property
    def changes(self) -> int:
        return self._changes

    async def wait_for_change(self, since: int, *, timeout: float) -> None:
        if self._changes > since:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            with self._clock.cancel_after(timeout):
                await waiter
        finally:
            self._waiters.discard(waiter)

    def _wake(self) -> None:
        self._changes += 1
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _write(self, run: Callable[[sqlite3.Connection], T], *, is_news: bool = False) -> T:
        with _translated():
            return await self._store.write(run, is_news=is_news)

    async def _read(self, run: Callable[[sqlite3.Connection], T]) -> T:
        with _translated():
            return await self._store.read(run)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except StoreUnavailableError as exc:
        raise QueueUnavailableError(exc.message, hint=exc.hint) from exc


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _promote_due(db: sqlite3.Connection, now: float) -> None:
    db.execute("UPDATE jobs SET state = 'waiting' WHERE state = 'delayed' AND due_at <= ?", (now,))


def _row_of(job: NewJob, now: float) -> tuple[object, ...]:
    state = JobState.WAITING if job.due_at <= now else JobState.DELAYED
    backoff = msgspec.json.encode(job.backoff).decode() if job.backoff else None
    return (
        job.id, job.name, job.queue, state, job.data.decode(), job.priority, job.due_at, job.attempts, backoff,
        job.timeout_s, job.created_at, job.request_id, job.traceparent,
    )  # fmt: skip


def _claimed_of(row: tuple[Any, ...]) -> ClaimedJob:
    id_, name, queue, data, token, failures, crashes, attempts, backoff, timeout_s, created_at, request_id, trace = row
    return ClaimedJob(
        id=id_,
        name=name,
        queue=queue,
        data=data.encode(),
        token=token,
        failures=failures,
        crashes=crashes,
        attempts=attempts,
        backoff=msgspec.json.decode(backoff, type=Backoff) if backoff else None,
        timeout_s=timeout_s,
        created_at=created_at,
        request_id=request_id,
        traceparent=trace,
    )


def _record_of(row: sqlite3.Row | tuple[Any, ...]) -> JobRecord:
    values = dict(zip(sql.RECORD, row, strict=True))
    for key in ("data", "result"):
        values[key] = values[key].encode() if values[key] is not None else None
    for key in ("created_at", "due_at", "started_at", "finished_at"):
        values[key] = utc(values[key]) if values[key] is not None else None
    return JobRecord(**{**values, "state": JobState(values["state"])})
