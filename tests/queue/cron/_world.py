"""A queue in memory with a clock that the test moves, and what a queue object gives to its crons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio.lowlevel

from undercroft._core.clock import Clock, VirtualClock
from undercroft._core.ids import IdSource
from undercroft.queue._backoff import Backoff
from undercroft.queue._cron._crons import Crons
from undercroft.queue._cron._definition import CronJob
from undercroft.queue._errors import QueueUnavailableError
from undercroft.queue._job import Job
from undercroft.queue._options import ResolvedOptions
from undercroft.queue._values import (
    ClaimedJob,
    Completed,
    Entry,
    JobFilter,
    JobRecord,
    JobState,
    NewJob,
)
from undercroft.queue.memory import MemoryQueue

START = 1_767_225_600.0
"""2026-01-01T00:00Z, a Thursday."""


class SlowQueue(MemoryQueue):
    """A queue in memory where every call gives way, before and after, and that can be out of order."""

    is_down = False
    calls = 0

    async def entries(self, queue: str, *, prefix: str = "") -> dict[str, Entry]:
        await self._give_way()
        found = await super().entries(queue, prefix=prefix)
        await anyio.lowlevel.checkpoint()
        return found

    async def save_entry(
        self, queue: str, key: str, data: bytes | None, *, version: int, jobs: Sequence[NewJob] = ()
    ) -> bool:
        await self._give_way()
        is_saved = await super().save_entry(queue, key, data, version=version, jobs=jobs)
        await anyio.lowlevel.checkpoint()
        return is_saved

    async def get(self, job_id: str, *, queue: str | None = None) -> JobRecord | None:
        await self._give_way()
        return await super().get(job_id, queue=queue)

    async def cancel(self, job_id: str, *, queue: str | None = None) -> bool:
        await self._give_way()
        is_cancelled = await super().cancel(job_id, queue=queue)
        await anyio.lowlevel.checkpoint()
        return is_cancelled

    async def _give_way(self) -> None:
        self.calls += 1
        if self.is_down:
            raise QueueUnavailableError("the store is down")
        await anyio.lowlevel.checkpoint()


def make_job(
    job: Job[..., Any],
    options: ResolvedOptions,
    /,
    *,
    id: str,  # noqa: A002
    data: bytes,
    due_at: float,
    created_at: float,
) -> NewJob:
    return NewJob(
        id=id,
        name=job.name,
        queue=options.queue,
        data=data,
        attempts=options.attempts,
        backoff=options.backoff if isinstance(options.backoff, Backoff) else None,
        timeout_s=options.timeout_s,
        priority=options.priority,
        due_at=due_at,
        created_at=created_at,
        request_id=None,
        carrier=None,
    )


class World:
    """One store, and crons on it."""

    def __init__(self, start: float = START) -> None:
        self.clock = VirtualClock(start)
        self.engine = SlowQueue(self.clock)
        self.ids = IdSource(self.clock)

    def crons(self, *crons: CronJob[..., Any], jobs: Sequence[Job[..., Any]] = (), clock: Clock | None = None) -> Crons:
        known = {job.name: job for job in [*jobs, *(cron.job for cron in crons)]}
        return Crons(self.engine, crons, jobs=known, make_job=make_job, clock=clock or self.clock, ids=self.ids)

    async def at(self, instant: float) -> None:
        """Move the clock to `instant`, counted from the start."""
        await self.clock.advance(START + instant - self.clock.time())

    async def slots(self, queue: str = "default") -> list[int]:
        """Return the slots for which there is a job, in order, counted from the start."""
        jobs = await self.jobs(queue)
        return sorted(int(float(job.id.rpartition("-")[2]) - START) for job in jobs if "manual" not in job.id)

    async def jobs(self, queue: str = "default") -> list[JobRecord]:
        found: list[JobRecord] = []
        cursor: str | None = None
        while True:
            page = await self.engine.list_jobs(JobFilter(queue=queue), limit=1000, cursor=cursor)
            found += page.jobs
            cursor = page.cursor
            if cursor is None:
                return found

    async def waiting(self) -> int:
        return (await self.engine.counts()).waiting

    async def claim(self, *names: str) -> list[ClaimedJob]:
        """Take what is due, for a worker that lives as long as the test."""
        claim = await self.engine.claim(queues=["default"], names=names, limit=100, worker_id="w", lease_s=1e9)
        return list(claim.jobs)

    async def finish(self, job: ClaimedJob) -> None:
        assert (await self.engine.finish(job, Completed(result=b"null"))).is_recorded

    async def claim_states(self, *job_ids: str) -> list[str | None]:
        """Return why each job must not run, by handing all of them out."""
        async with self.engine.attend("looker", queues=["default"]):
            claim = await self.engine.claim(queues=["default"], names=["m"], limit=100, worker_id="looker", lease_s=1)
            await self.engine.release(claim.jobs)
        dooms = {job.id: job.doom.error_type if job.doom else None for job in claim.jobs}
        return [dooms[job_id] for job_id in job_ids]

    async def state_of(self, job_id: str) -> JobState | None:
        record = await self.engine.get(job_id)
        return record.state if record else None
