"""Runs that are checked and not enqueued yet, and how a run becomes what an engine stores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from undercroft._core.bound import BoundPart
from undercroft._core.carrier import pack
from undercroft._core.context import correlation
from undercroft.queue._backoff import Backoff
from undercroft.queue._options import ResolvedOptions, deduplication_of
from undercroft.queue._values import NewJob, OnChildFailure, tenant_tag

if TYPE_CHECKING:
    from undercroft.queue._flow import Batch, Flow, Group
    from undercroft.queue._flow_handles import BatchHandle, FlowHandle, GroupHandle
    from undercroft.queue._handle import JobHandle
    from undercroft.queue._job import Job

T = TypeVar("T")


class Enqueuer(Protocol):
    """What jobs, flows, batches and groups need of a queue in order to put themselves into it."""

    async def add(self, job: Job[..., T], data: bytes, options: ResolvedOptions) -> JobHandle[T]: ...

    async def enqueue_flow(self, flow: Flow[T]) -> FlowHandle[T]: ...

    async def enqueue_batch(self, batch: Batch[T]) -> BatchHandle[T]: ...

    async def enqueue_group(self, group: Group[T]) -> GroupHandle[T]: ...


bound_queue = BoundPart[Enqueuer]("queue")


@dataclass(frozen=True, slots=True)
class JobStep(Generic[T]):
    """One run: a job, its checked data and its options. Immutable; enqueued twice, it is two jobs."""

    job: Job[..., T]
    data: bytes = field(repr=False)
    """What will be stored."""
    options: ResolvedOptions = field(repr=False)

    async def enqueue(self) -> JobHandle[T]:
        """Put it into the bound queue."""
        return await bound_queue.require().add(self.job, self.data, self.options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a job stands in a flow."""

    parent_id: str | None = None
    parent_queue: str | None = None
    on_child_failure: OnChildFailure = OnChildFailure.FAIL
    has_children: bool = False


ALONE = Place()


def new_job(
    job: Job[..., Any],
    data: bytes,
    options: ResolvedOptions,
    *,
    job_id: str,
    now: float,
    place: Place = ALONE,
) -> NewJob:
    """Return what an engine stores of a checked run, with the request and trace going on here."""
    names = correlation()
    backoff = options.backoff
    return NewJob(
        id=job_id,
        name=job.name,
        queue=options.queue,
        data=data,
        attempts=options.attempts,
        backoff=backoff if isinstance(backoff, Backoff) else None,
        timeout_s=options.timeout_s,
        priority=options.priority,
        due_at=options.due_at(now),
        created_at=now,
        request_id=names.request_id,
        carrier=pack(names),
        lifo=options.lifo,
        deduplication=deduplication_of(options, job.name),
        keep_completed=options.keep_completed,
        keep_failed=options.keep_failed,
        tags=options.tags if options.tenant is None else (*options.tags, tenant_tag(options.tenant)),
        on_failure=options.on_failure,
        parent_id=place.parent_id,
        parent_queue=place.parent_queue,
        on_child_failure=place.on_child_failure,
        has_children=place.has_children,
    )
