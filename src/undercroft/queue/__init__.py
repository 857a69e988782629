"""Jobs that survive the process that asked for them.

    from undercroft import Infra
    from undercroft.queue import job

    @job("email.welcome", retries=3, backoff="exponential", timeout="30s")
    async def welcome(user_id: int, lang: str = "en") -> None:
        ...

    async with Infra(jobs=[welcome]) as infra:
        await welcome.enqueue(user_id=1)                            # checked now, run by a worker
        await welcome.with_(delay="5m").enqueue(user_id=2)
        await infra.queue.worker(concurrency=10).run()

A job that was enqueued is run at least once; make handlers idempotent. Stand-alone: `create_queue(url, jobs=[…])`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ParamSpec, TypeVar, Unpack, overload

from undercroft._core.bound import BoundPart
from undercroft._core.clock import Clock
from undercroft._core.durations import Duration
from undercroft._core.url import Url
from undercroft.queue._backoff import Backoff
from undercroft.queue._errors import (
    JobArgumentsError,
    JobDefinitionError,
    JobFailedError,
    JobNotRegisteredError,
    JobTimeoutError,
    NotInJobError,
    QueueUnavailableError,
    ResultTimeoutError,
)
from undercroft.queue._facade import Queue
from undercroft.queue._handle import JobHandle
from undercroft.queue._job import Job, JobCall, define_job, job
from undercroft.queue._options import JobOptions
from undercroft.queue._protocol import Counts, Engine, JobRecord, JobState
from undercroft.queue._running import JobContext, current_job
from undercroft.queue._schemes import SCHEMES, open_engine
from undercroft.queue._worker import Worker

__all__ = [
    "SCHEMES",
    "Backoff",
    "Counts",
    "Engine",
    "Job",
    "JobArgumentsError",
    "JobCall",
    "JobContext",
    "JobDefinitionError",
    "JobFailedError",
    "JobHandle",
    "JobNotRegisteredError",
    "JobOptions",
    "JobRecord",
    "JobState",
    "JobTimeoutError",
    "NotInJobError",
    "Queue",
    "QueueUnavailableError",
    "ResultTimeoutError",
    "Worker",
    "create_queue",
    "create_queue_worker",
    "current_job",
    "define_job",
    "enqueue",
    "job",
    "open_engine",
]

P = ParamSpec("P")
T = TypeVar("T")
_queue = BoundPart[Queue]("queue")


def create_queue(url: str, jobs: Iterable[Job[..., Any]] = (), *, clock: Clock | None = None) -> Queue:
    """Make a queue without an `Infra`: `async with create_queue("sqlite:///jobs.db", jobs=[…]) as queue:`."""
    return Queue(open_engine(Url.parse(url, what="queue"), what="queue", clock=clock), jobs, clock=clock)


def create_queue_worker(
    jobs: Iterable[Job[..., Any]] | None = None,
    *,
    queues: Iterable[str] | None = None,
    concurrency: int = 5,
    grace: Duration = "10s",
) -> Worker:
    """Make a worker of the bound queue; without `jobs` it runs all that the `Infra` knows. See `Worker`."""
    return _queue.require().worker(jobs, queues=queues, concurrency=concurrency, grace=grace)


@overload
async def enqueue(job: Job[P, T], /, *args: P.args, **kwargs: P.kwargs) -> JobHandle[T]: ...


@overload
async def enqueue(job: Job[..., T], data: Mapping[str, Any], /, **options: Unpack[JobOptions]) -> JobHandle[T]: ...


@overload
async def enqueue(job: str, data: object = ..., /, **options: Unpack[JobOptions]) -> JobHandle[Any]: ...


async def enqueue(job: Any, /, *args: Any, **kwargs: Any) -> JobHandle[Any]:
    """Store a run of `job` in the bound queue. See `Queue.enqueue`."""
    return await _queue.require().enqueue(job, *args, **kwargs)
