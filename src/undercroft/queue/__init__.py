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

A job that was enqueued is run at least once; make handlers idempotent. Stand-alone: `create_queue(url, jobs=[…])`, on
`sqlite:///jobs.db`, `redis://host` or `memory://`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ParamSpec, TypeVar, Unpack, overload

from undercroft._core.bound import BoundPart
from undercroft._core.clock import Clock
from undercroft._core.durations import Duration
from undercroft._core.url import Url
from undercroft.queue._adapters import create_job, schedule_job
from undercroft.queue._backoff import Backoff
from undercroft.queue._conditions import JobConditions
from undercroft.queue._cron._crons import Crons
from undercroft.queue._cron._definition import CronJob, cron, define_cron, is_valid_cron_expression
from undercroft.queue._cron._face import clear_cron_jobs, get_cron_job, get_cron_jobs
from undercroft.queue._cron._info import CronInfo, CronRecord
from undercroft.queue._cron._options import Misfire, Overlap
from undercroft.queue._dead_letters import DeadLetterReason, DeadLetters
from undercroft.queue._errors import (
    Discard,
    JobArgumentsError,
    JobCancelledError,
    JobDefinitionError,
    JobFailedError,
    JobLostError,
    JobNotRegisteredError,
    JobTimeoutError,
    NotInJobError,
    QueueInUseError,
    QueueUnavailableError,
    ResultTimeoutError,
    RetryLater,
    Unrecoverable,
)
from undercroft.queue._facade import Queue
from undercroft.queue._flow import Batch, Flow, Group, batch, chain, group
from undercroft.queue._flow_handles import BatchHandle, BatchProgress, FlowHandle, GroupHandle
from undercroft.queue._handle import JobHandle
from undercroft.queue._job import Job, JobCall, define_job, job
from undercroft.queue._metrics import Percentiles, QueueMetrics
from undercroft.queue._options import DefinitionOptions, JobOptions, Priority
from undercroft.queue._protocol import Engine
from undercroft.queue._schemes import SCHEMES, open_engine
from undercroft.queue._steps import JobStep, new_job
from undercroft.queue._values import (
    Counts,
    Deduplication,
    Entry,
    EntryPage,
    JobEvent,
    JobPage,
    JobRecord,
    JobState,
    Keep,
    NewJob,
    OnChildFailure,
    QueueSettings,
    RateLimit,
)
from undercroft.queue._worker._context import Child, JobContext, current_job
from undercroft.queue._worker._health import WorkerHealth
from undercroft.queue._worker._worker import Worker

__all__ = [
    "SCHEMES",
    "Backoff",
    "Batch",
    "BatchHandle",
    "BatchProgress",
    "Child",
    "Counts",
    "CronInfo",
    "CronJob",
    "CronRecord",
    "Crons",
    "DeadLetterReason",
    "DeadLetters",
    "Deduplication",
    "DefinitionOptions",
    "Discard",
    "Engine",
    "Entry",
    "EntryPage",
    "Flow",
    "FlowHandle",
    "Group",
    "GroupHandle",
    "Job",
    "JobArgumentsError",
    "JobCall",
    "JobCancelledError",
    "JobConditions",
    "JobContext",
    "JobDefinitionError",
    "JobEvent",
    "JobFailedError",
    "JobHandle",
    "JobLostError",
    "JobNotRegisteredError",
    "JobOptions",
    "JobPage",
    "JobRecord",
    "JobState",
    "JobStep",
    "JobTimeoutError",
    "Keep",
    "Misfire",
    "NewJob",
    "NotInJobError",
    "OnChildFailure",
    "Overlap",
    "Percentiles",
    "Priority",
    "Queue",
    "QueueInUseError",
    "QueueMetrics",
    "QueueSettings",
    "QueueUnavailableError",
    "RateLimit",
    "ResultTimeoutError",
    "RetryLater",
    "Unrecoverable",
    "Worker",
    "WorkerHealth",
    "batch",
    "chain",
    "clear_cron_jobs",
    "create_job",
    "create_queue",
    "create_queue_worker",
    "cron",
    "current_job",
    "define_cron",
    "define_job",
    "enqueue",
    "enqueue_many",
    "get_cron_job",
    "get_cron_jobs",
    "group",
    "is_valid_cron_expression",
    "job",
    "new_job",
    "open_engine",
    "schedule_job",
]

P = ParamSpec("P")
T = TypeVar("T")
_queue = BoundPart[Queue]("queue")


def create_queue(
    url: str,
    jobs: Iterable[Job[..., Any]] = (),
    *,
    crons: Iterable[CronJob[..., Any]] = (),
    clock: Clock | None = None,
) -> Queue:
    """Make a queue without an `Infra`: `async with create_queue("sqlite:///jobs.db", jobs=[…]) as queue:`."""
    engine = open_engine(Url.parse(url, what="queue"), what="queue", clock=clock)
    return Queue(engine, jobs, crons=crons, clock=clock)


def create_queue_worker(
    jobs: Iterable[Job[..., Any]] | None = None,
    *,
    queues: Iterable[str] | Mapping[str, int] | None = None,
    concurrency: int = 5,
    grace: Duration = "10s",
    lease: Duration = "30s",
    max_jobs: int | None = None,
    max_rss: int | str | None = None,
) -> Worker:
    """Make a worker of the bound queue; without `jobs` it runs all that the `Infra` knows. See `Queue.worker`."""
    return _queue.require().worker(
        jobs,
        queues=queues,
        concurrency=concurrency,
        grace=grace,
        lease=lease,
        max_jobs=max_jobs,
        max_rss=max_rss,
    )


@overload
async def enqueue(job: Job[P, T], /, *args: P.args, **kwargs: P.kwargs) -> JobHandle[T]: ...


@overload
async def enqueue(job: Job[..., T], data: Mapping[str, Any], /, **options: Unpack[JobOptions]) -> JobHandle[T]: ...


@overload
async def enqueue(job: str, data: object = ..., /, **options: Unpack[JobOptions]) -> JobHandle[Any]: ...


async def enqueue(job: Any, /, *args: Any, **kwargs: Any) -> JobHandle[Any]:
    """Store a run of `job` in the bound queue. See `Queue.enqueue`."""
    return await _queue.require().enqueue(job, *args, **kwargs)


async def enqueue_many(
    job: Job[..., T] | str, items: Iterable[Mapping[str, Any]], /, **options: Unpack[JobOptions]
) -> list[JobHandle[T]]:
    """Store a run of `job` for each of `items` in the bound queue, in one step. See `Queue.enqueue_many`."""
    return await _queue.require().enqueue_many(job, items, **options)
