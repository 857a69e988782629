"""The values that a queue and its engine exchange. All immutable; instants are epoch seconds unless aware datetimes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from undercroft._core.durations import Duration, to_seconds
from undercroft.queue._backoff import Backoff

_TENANT = "tenant:"


def tenant_tag(tenant: str) -> str:
    """Return the tag that says whose job it is."""
    return f"{_TENANT}{tenant}"


def tenant_of(tags: tuple[str, ...]) -> str | None:
    """Return whose job it is, by its tags."""
    return next((tag.removeprefix(_TENANT) for tag in tags if tag.startswith(_TENANT)), None)


class JobState(StrEnum):
    """Where a job is in its life."""

    WAITING = "waiting"
    DELAYED = "delayed"
    BLOCKED = "blocked"
    """A parent whose children are not finished."""
    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    PARKED = "parked"

    @property
    def is_final(self) -> bool:
        """Whether the job will not run again by itself."""
        return self in (JobState.COMPLETED, JobState.FAILED)


class OnChildFailure(StrEnum):
    """What a parent does when one of its children fails for good."""

    FAIL = "fail"
    """It fails too, without running."""
    IGNORE = "ignore"
    """It runs when the others are finished, and sees the failure among its children."""


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """How long a finished job is kept. Both limits hold; `None` is without limit."""

    age_s: float | None = None
    count: int | None = None
    """Of the jobs of its queue in the same state, how many of the newest. 0: it is deleted as it finishes."""


class Deduplication(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs of a queue count as the same. Made by `simple`, `throttle` and `debounce`; BullMQ's rules.

    While a key is held, a job with the same key is not stored, and its handle is that of the job that holds it.
    """

    key: str
    ttl_s: float | None = None
    """How long the key is held, whatever becomes of its job; `None`: until its job is finished or removed."""
    extend: bool = False
    """A duplicate holds the key for another `ttl_s`."""
    replace: bool = False
    """A duplicate of a job that is still delayed takes its place, with its own delay."""

    @classmethod
    def simple(cls, key: str) -> Deduplication:
        """One job of this key at a time: while one is not finished, another is not stored."""
        return cls(key=key)

    @classmethod
    def throttle(cls, key: str, ttl: Duration) -> Deduplication:
        """At most one job of this key within `ttl`: the first, whatever becomes of it."""
        return cls(key=key, ttl_s=to_seconds(ttl, name="deduplication ttl"))

    @classmethod
    def debounce(cls, key: str, ttl: Duration) -> Deduplication:
        """The last job of this key, once none came for `ttl`: each is delayed by it, and replaces the one before."""
        return cls(key=key, ttl_s=to_seconds(ttl, name="deduplication ttl"), extend=True, replace=True)


class Doom(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job must not run any more, and what is recorded of it."""

    error_type: str
    """`Cancelled`, `WorkerDied` or `ChildFailed`."""
    error: str


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job to store."""

    id: str
    name: str
    queue: str
    data: bytes
    """One JSON object, or what the schema encodes to; UTF-8."""
    attempts: int
    backoff: Backoff | None
    """`None`: the job's definition has a function for it, which the worker will ask."""
    timeout_s: float | None
    priority: int
    due_at: float
    """Not later than now is waiting, later is delayed."""
    created_at: float
    request_id: str | None
    carrier: str | None
    """The trace and baggage it was enqueued in, as W3C's headers: `_core.carrier.pack`."""
    lifo: bool = False
    deduplication: Deduplication | None = None
    keep_completed: Keep = Keep()
    keep_failed: Keep = Keep()
    tags: tuple[str, ...] = ()
    on_failure: str | None = None
    """Name of the job to enqueue when this one fails for good."""
    parent_id: str | None = None
    parent_queue: str | None = None
    on_child_failure: OnChildFailure = OnChildFailure.FAIL
    """What this job does to its parent."""
    has_children: bool = False
    """It is blocked until all jobs that name it as their parent are finished."""


class Added(msgspec.Struct, frozen=True):
    """What became of one `NewJob`."""

    id: str
    """Of the job that is stored: its own, or the one that stands for it."""
    is_new: bool


class ClaimedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that one worker holds until its lease ends."""

    id: str
    name: str
    queue: str
    data: bytes
    token: int
    """Grows with every claim of this job; names this claim in every later write."""
    lock: str = ""
    """What else the engine needs in order to recognise this claim; of no meaning to others."""
    failures: int
    """Runs that raised, before this one."""
    crashes: int
    """Runs that ended with their worker, before this one."""
    attempts: int
    backoff: Backoff | None
    timeout_s: float | None
    is_foreign: bool = False
    """It was added by somebody who knows nothing of timeouts (a Node producer): the definition's holds."""
    created_at: float
    due_at: float
    priority: int = 0
    request_id: str | None
    carrier: str | None
    tags: tuple[str, ...] = ()
    on_failure: str | None = None
    doom: Doom | None = None
    """It must not run; this failure is to be recorded."""

    @property
    def attempt(self) -> int:
        """Number of this run, from 1. A run that was released at a shutdown, or postponed, is not counted."""
        return self.failures + self.crashes + 1


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What one call of `claim` found."""

    jobs: tuple[ClaimedJob, ...]
    next_due_at: float | None
    """When something may become due in these queues by itself (a delayed job, the end of a rate limit), if known."""


class Fetch(msgspec.Struct, frozen=True, kw_only=True):
    """For whom `finish` claims the next job."""

    names: frozenset[str]
    worker_id: str
    lease_s: float


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """What `finish` did."""

    is_recorded: bool
    next: ClaimedJob | None = None


class Completed(msgspec.Struct, frozen=True, kw_only=True):
    """The run returned. `result` is JSON."""

    result: bytes


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """The run raised. With `retry_at` the job goes back, without it is failed for good."""

    error_type: str
    error: str
    stack: str = ""
    """Where it was raised, as Python prints it; may be cut."""
    retry_at: float | None


class Postponed(msgspec.Struct, frozen=True, kw_only=True):
    """The run asked to be run again later, and is not counted."""

    until: float


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """What a heartbeat found out about the jobs it was for."""

    lost: tuple[ClaimedJob, ...] = ()
    """Their claim is no longer current."""
    cancelled: tuple[ClaimedJob, ...] = ()
    """Somebody asked for their end."""


class Rescued(msgspec.Struct, frozen=True, kw_only=True):
    """A job taken from a worker that died or stopped reporting."""

    id: str
    name: str
    queue: str
    worker_id: str
    is_quarantined: bool
    """It took its worker down too often, and is doomed."""


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it is stored now."""

    id: str
    name: str
    queue: str
    state: JobState
    data: bytes
    priority: int
    failures: int
    crashes: int
    attempts: int
    worker_id: str | None
    result: bytes | None
    """JSON."""
    progress: bytes | None = None
    """JSON."""
    error_type: str | None
    """Of the last run that failed."""
    error: str | None
    stack: str | None = None
    request_id: str | None
    carrier: str | None
    """The trace that it was enqueued in: a `traceparent`, or a JSON object of W3C's headers when there are more."""
    tags: tuple[str, ...] = ()
    parent_id: str | None = None
    parent_queue: str | None = None
    deduplication_key: str | None = None
    created_at: datetime
    due_at: datetime
    started_at: datetime | None
    """Of the last run."""
    finished_at: datetime | None

    @property
    def tenant(self) -> str | None:
        """Whose job it is, if somebody said so."""
        return tenant_of(self.tags)


class ChildRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A child of a job, as its parent sees it."""

    id: str
    queue: str
    state: JobState | None
    """`None`: it was removed."""
    result: bytes | None = None
    """JSON, of a completed child; kept with the parent after the child is deleted."""
    error: str | None = None


class JobFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs to list; every condition that is given must hold."""

    queue: str | None = None
    state: JobState | None = None
    name: str | None = None
    tag: str | None = None
    error_type: str | None = None
    text: str | None = None
    """Part of the data's JSON text or of the error, in any case of letters."""
    request_id: str | None = None
    created_after: float | None = None
    created_before: float | None = None


class JobPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the jobs that were asked for."""

    jobs: tuple[JobRecord, ...]
    cursor: str | None
    """Where the next page begins; `None`: this was the last."""

    def __iter__(self) -> Iterator[JobRecord]:
        """Yield the jobs of this page."""
        return iter(self.jobs)


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many jobs are in each state."""

    waiting: int = 0
    delayed: int = 0
    blocked: int = 0
    active: int = 0
    completed: int = 0
    failed: int = 0
    parked: int = 0


class RateLimit(msgspec.Struct, frozen=True, kw_only=True):
    """At most `max` runs begin within `per_s` seconds, counted from the first of them."""

    max: int
    per_s: float


class QueueSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for a queue in all its workers."""

    is_paused: bool = False
    max_active: int | None = None
    """How many of its jobs may run at once, in all workers together."""
    rate: RateLimit | None = None


class Minute(msgspec.Struct, frozen=True, kw_only=True):
    """What was finished within one minute."""

    at: float
    """Its beginning."""
    completed: int
    failed: int


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """The instants of one finished job."""

    due_at: float
    """When it could have begun: created, or due, or its children finished."""
    started_at: float
    finished_at: float
    is_failed: bool


class QueueStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine knows about a queue's speed."""

    oldest_waiting_at: float | None
    """Since when the oldest waiting job could run."""
    minutes: tuple[Minute, ...]
    """The last 60 minutes at most, newest first; minutes without an end of a job may be left out."""
    recent: tuple[Span, ...]
    """Up to 1000 of the jobs that finished last and are kept."""


class JobEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a job or a queue."""

    cursor: str
    """Where to go on listening; sorts in the order of events within a queue."""
    type: str
    """`added`, `waiting`, `active`, `progress`, `completed`, `failed`, `delayed`, `stalled`, `removed`, `paused`,
    `resumed`, `drained`, … (BullMQ's names)."""
    queue: str
    job_id: str | None
    at: datetime
    fields: Mapping[str, Any]
    """What else the engine tells: `returnvalue` and `failedReason` (text), `data` (progress), `prev`, …"""


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """A setting of the store that endangers jobs."""

    message: str
    hint: str


class Entry(msgspec.Struct, frozen=True):
    """A document of the ledger."""

    version: int
    data: bytes


class EntryPage(msgspec.Struct, frozen=True):
    """Some entries of a ledger, by their keys, and where to go on."""

    entries: Mapping[str, Entry]
    cursor: str | None
    """`None`: these were the last."""
