"""What the tests of the suite share: jobs to add, workers to claim for, and short forms of the engine's calls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from undercroft._core.clock import VirtualClock
from undercroft._core.ids import IdSource
from undercroft.queue._backoff import Backoff
from undercroft.queue._protocol import Engine
from undercroft.queue._values import ClaimedJob, Completed, Failed, Fetch, JobRecord, JobState, NewJob, Rescued

LEASE_S = 30.0
CRASH_DELAY_S = 5.0
MAX_CRASHES = 3

PassTime = Callable[[float], Awaitable[None]]


class Promises:
    """Fixtures for the themes of the suite."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def clock(self) -> VirtualClock:
        """The clock that the engine under test reads."""
        return VirtualClock()

    @pytest.fixture
    def pass_time(self, clock: VirtualClock) -> PassTime:
        """Lets seconds pass for the engine: its clock, and whatever else it goes by."""
        return clock.advance

    @pytest.fixture
    def jobs(self, clock: VirtualClock) -> NewJobs:
        """Makes jobs."""
        return NewJobs(clock)


class NewJobs:
    """Makes jobs with defaults: name `job`, queue `default`, data `{}`, due now."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._ids = IdSource(clock)

    def __call__(self, **changes: Any) -> NewJob:
        now = self._clock.time()
        plain = NewJob(
            id=self._ids(),
            name="job",
            queue="default",
            data=b"{}",
            attempts=3,
            backoff=Backoff.fixed(1),
            timeout_s=30.0,
            priority=0,
            due_at=now,
            created_at=now,
            request_id=None,
            carrier=None,
        )
        return msgspec.structs.replace(plain, **changes)

    def later(self, seconds: float, **changes: Any) -> NewJob:
        """Return a job that is due in `seconds`."""
        return self(due_at=self._clock.time() + seconds, **changes)

    def family(self, *children: dict[str, Any], **changes: Any) -> list[NewJob]:
        """Return a parent and its children, as they are added: the parent is named `parent`, in queue `default`."""
        parent = self(name="parent", has_children=True, **changes)
        born = [self(parent_id=parent.id, parent_queue=parent.queue, **child) for child in children]
        return [parent, *born]


@asynccontextmanager
async def worker(engine: Engine, *queues: str) -> AsyncIterator[str]:
    """Attend as a worker for the block; gives its id."""
    worker_id = IdSource()()
    async with engine.attend(worker_id, queues=queues or ("default",)):
        yield worker_id


async def claim(
    engine: Engine,
    worker_id: str,
    *,
    limit: int = 5,
    names: Sequence[str] = ("job",),
    queues: Sequence[str] = ("default",),
) -> tuple[ClaimedJob, ...]:
    """Claim, by default jobs named `job` from the queue `default`."""
    found = await engine.claim(queues=queues, names=names, limit=limit, worker_id=worker_id, lease_s=LEASE_S)
    return found.jobs


async def claim_one(engine: Engine, worker_id: str, *names: str, queue: str = "default") -> ClaimedJob:
    """Claim one job that must be there."""
    (job,) = await claim(engine, worker_id, limit=1, names=names or ("job",), queues=(queue,))
    return job


async def complete(engine: Engine, job: ClaimedJob, result: bytes = b"null") -> None:
    """Record that a run returned; it must be taken."""
    assert (await engine.finish(job, Completed(result=result))).is_recorded


async def fail(engine: Engine, job: ClaimedJob, *, retry_at: float | None = None) -> None:
    """Record that a run raised; it must be taken."""
    assert (await engine.finish(job, failed(retry_at=retry_at))).is_recorded


def failed(*, retry_at: float | None = None) -> Failed:
    """Return the outcome of a run that raised."""
    return Failed(error_type="OSError", error="no route", stack='File "a.py", line 1', retry_at=retry_at)


def fetch(worker_id: str, *names: str) -> Fetch:
    """Return for whom `finish` is to claim the next job."""
    return Fetch(names=frozenset(names or ("job",)), worker_id=worker_id, lease_s=LEASE_S)


async def require(engine: Engine, job_id: str) -> JobRecord:
    """Return a job that must be there."""
    record = await engine.get(job_id)
    assert record is not None
    return record


async def state_of(engine: Engine, job_id: str) -> JobState | None:
    """Return a job's state; `None` when there is no such job."""
    record = await engine.get(job_id)
    return record.state if record else None


async def rescue(engine: Engine, *queues: str) -> list[Rescued]:
    """Rescue, with the worker's limits."""
    return await engine.rescue(queues=queues or ("default",), max_crashes=MAX_CRASHES, again_after_s=CRASH_DELAY_S)


async def die(engine: Engine, pass_time: PassTime, *names: str) -> ClaimedJob:
    """Claim one job, let its lease run out and rescue it."""
    async with worker(engine) as me:
        job = await claim_one(engine, me, *names)
        await pass_time(LEASE_S + 1)
        (rescued,) = await rescue(engine)
    assert (rescued.id, rescued.worker_id) == (job.id, me)
    return job
