"""The engine: adding, working and waiting; its bases have one subject each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Self

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.sqlite import SqliteOptions
from undercroft._core.url import Url
from undercroft.queue._protocol import Pulse
from undercroft.queue._values import Added, Advice, Beat, Claim, ClaimedJob, Fetch, Finished, NewJob, Rescued
from undercroft.queue.sqlite import _working as working
from undercroft.queue.sqlite._adding import add_jobs, check_parents
from undercroft.queue.sqlite._base import translated
from undercroft.queue.sqlite._batches import Batches
from undercroft.queue.sqlite._ending import Outcome, record_all
from undercroft.queue.sqlite._events import Events
from undercroft.queue.sqlite._lists import Lists
from undercroft.queue.sqlite._liveness import WorkerLocks
from undercroft.queue.sqlite._one_job import OneJob
from undercroft.queue.sqlite._pulse import SqlitePulse
from undercroft.queue.sqlite._queues import Queues
from undercroft.queue.sqlite._step import Step, as_json
from undercroft.queue.sqlite._working import Who

_RECORDED = Finished(is_recorded=True)
_NOT_RECORDED = Finished(is_recorded=False)


class _End(NamedTuple):
    job: ClaimedJob
    outcome: Outcome
    fetch: Fetch | None


class SqliteQueue(OneJob, Queues, Lists, Events):
    """The SQLite engine. Opened by `async with`; used from one event loop; lives as long as its `Infra`."""

    name = "sqlite"

    def __init__(self, path: Path, *, options: SqliteOptions | None = None, clock: Clock | None = None) -> None:
        super().__init__(path, options=options, clock=clock)
        self._locks = WorkerLocks(path.with_name(f"{path.name}-workers"))
        self._own_workers: set[str] = set()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._adding = Batches(self._submit_adds)
        self._ending = Batches(self._submit_ends, on_unwanted=self._give_back_unwanted)

    @classmethod
    def from_url(cls, url: Url, *, what: str = "queue", clock: Clock | None = None) -> Self:
        """Build the engine for a `sqlite:///` URL. Opens nothing yet."""
        options = url.options_as(SqliteOptions, what=what)
        return cls(Path(url.file_path(what=what)), options=options, clock=clock)

    async def __aenter__(self) -> Self:
        await self._store.__aenter__()
        self._begin_anew()  # what an event loop that is gone left behind is nobody's business here
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._wake_all()
        await self._store.__aexit__(*exc_info)

    async def ping(self) -> None:
        await self._read(lambda db: db.execute("SELECT 1 FROM jobs LIMIT 1").fetchone())

    async def advice(self) -> list[Advice]:
        """None: the file's settings are those of its URL."""
        return []

    # --- Adding -----------------------------------------------------------------------------------------------------

    async def add(self, jobs: Sequence[NewJob]) -> list[Added]:
        check_parents(jobs)
        with translated():
            return await self._adding.ask(jobs)

    def _submit_adds(self, calls: Sequence[Sequence[NewJob]]) -> asyncio.Future[tuple[Sequence[list[Added]], Step]]:
        def run(step: Step) -> Sequence[list[Added]]:
            if len(calls) == 1:
                return [add_jobs(step, calls[0])]
            added = iter(add_jobs(step, [job for jobs in calls for job in jobs]))
            return [[next(added) for _ in jobs] for jobs in calls]

        return self._submit(run)

    # --- Working ----------------------------------------------------------------------------------------------------

    async def claim(
        self, *, queues: Sequence[str], names: Sequence[str], limit: int, worker_id: str, lease_s: float
    ) -> Claim:
        who = Who(names_text(frozenset(names)), worker_id, lease_s)
        return await self._write(lambda step: working.claim_jobs(step, queues, who, limit))

    async def finish(self, job: ClaimedJob, outcome: Outcome, *, fetch: Fetch | None = None) -> Finished:
        """As the protocol says. A caller that is cancelled meanwhile need not mind the next job: it is given back."""
        with translated():
            return await self._ending.ask(_End(job, outcome, fetch))

    def _submit_ends(self, ends: Sequence[_End]) -> asyncio.Future[tuple[Sequence[Finished], Step]]:
        def run(step: Step) -> Sequence[Finished]:
            recorded = record_all(step, [(end.job, end.outcome) for end in ends])
            answers = [_RECORDED if is_recorded else _NOT_RECORDED for is_recorded in recorded]
            for (queue, fetch), asked in _fetches(ends, recorded).items():
                who = Who(names_text(fetch.names), fetch.worker_id, fetch.lease_s)
                found = working.claim_jobs(step, [queue], who, len(asked)).jobs
                for n, job in zip(asked, found, strict=False):
                    answers[n] = Finished(is_recorded=True, next=job)
            return answers

        return self._submit(run)

    def _give_back_unwanted(self, answer: Finished) -> None:
        if (job := answer.next) is not None:
            self._submit(lambda step: working.release(step, [job])).add_done_callback(_forget_error)

    async def beat(self, worker_id: str, jobs: Sequence[ClaimedJob], *, lease_s: float) -> Beat:  # noqa: ARG002
        if not jobs:
            return Beat()  # that the worker lives is told by its lock file
        until = self.time() + lease_s
        return await self._write(lambda step: working.beat(step.db, jobs, lease_until=until))

    def pulse(self, worker_id: str) -> Pulse | None:  # noqa: ARG002
        return SqlitePulse(self.path) if isinstance(self._clock, SystemClock) else None

    async def release(self, jobs: Sequence[ClaimedJob]) -> None:
        await self._write(lambda step: working.release(step, jobs))

    async def rescue(self, *, queues: Sequence[str], max_crashes: int, again_after_s: float) -> list[Rescued]:
        wanted, now = as_json(queues), self.time()
        holders = await self._read(lambda db: db.execute(working.HOLDERS, (wanted,)).fetchall())
        dead = [worker for (worker,) in holders if worker not in self._own_workers and self._locks.is_dead(worker)]
        # Most of the time there is nothing to take back: look before taking the write lock.
        if not dead and not await self._read(lambda db: db.execute(working.LOST, (wanted, now, "[]")).fetchone()):
            return []
        rescued = await self._write(
            lambda step: working.rescue(
                step, queues=queues, dead=dead, max_crashes=max_crashes, again_after_s=again_after_s
            )
        )
        await self._forget(dead)
        return rescued

    async def _forget(self, dead: Sequence[str]) -> None:
        """Remove the lock files of dead workers that hold no job in any queue."""
        holders = await self._read(lambda db: db.execute(working.ALL_HOLDERS).fetchall())
        for worker in set(dead) - {worker for (worker,) in holders}:
            self._locks.forget(worker)

    async def park_unknown(self, *, queues: Sequence[str], names: Sequence[str]) -> list[tuple[str, str]]:
        now = self.time()
        # Most of the time there is nothing to park: look before taking the write lock.
        if not await self._read(lambda db: working.has_to_park(db, queues=queues, names=names, now=now)):
            return []
        return await self._write(lambda step: working.park_unknown(step, queues=queues, names=names))

    @asynccontextmanager
    async def attend(self, worker_id: str, *, queues: Sequence[str]) -> AsyncIterator[None]:  # noqa: ARG002
        with self._locks.hold(worker_id):
            self._own_workers.add(worker_id)
            try:
                yield
            finally:
                self._own_workers.discard(worker_id)

    # --- Waiting ----------------------------------------------------------------------------------------------------

    async def wait_for_work(self, queues: Sequence[str], *, since: int, timeout: float) -> None:  # noqa: ARG002
        await self._wait_for_change(since, timeout=timeout)

    async def wait_for_end(self, job_id: str, *, queue: str, timeout: float) -> None:  # noqa: ARG002
        await self._wait_for_end_of(job_id, timeout=timeout)


def _fetches(ends: Sequence[_End], recorded: Sequence[bool]) -> dict[tuple[str, Fetch], list[int]]:
    """Return which of the recorded ends ask for a next job, by queue and by whom."""
    fetches: dict[tuple[str, Fetch], list[int]] = {}
    for n, (end, is_recorded) in enumerate(zip(ends, recorded, strict=True)):
        if end.fetch is not None and is_recorded:
            fetches.setdefault((end.job.queue, end.fetch), []).append(n)
    return fetches


def _forget_error(done: asyncio.Future[Any]) -> None:
    # Nobody waits for it. When the store did not take it, the lease of the job ends by itself.
    if not done.cancelled():
        done.exception()


@lru_cache(maxsize=64)
def names_text(names: frozenset[str]) -> str:
    """Return the names of jobs as a claim takes them."""
    return as_json(sorted(names))
