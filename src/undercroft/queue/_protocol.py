"""What a queue engine promises: all that an engine's author must read.

An engine stores jobs and hands each waiting one to one worker at a time. It knows nothing of Python functions, schemas
or retries: the worker decides, the engine records. Delivery is at least once. A claim carries a *token*; every later
write names it, and a write with an old token changes nothing, so that a worker which was presumed dead and comes back
cannot touch a job that somebody else has by now.

States: `delayed` (due later) → `waiting` → `active` (claimed) → `completed` or `failed`; from `active` back to
`waiting` or `delayed` on retry, release or rescue. `parked`: waiting, but no worker that looked at it knows its name;
a worker that does takes it as if it were waiting.

Order within a queue: by priority (0 first), then in the order of enqueueing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from undercroft.queue._backoff import Backoff


class JobState(StrEnum):
    """Where a job is in its life."""

    WAITING = "waiting"
    DELAYED = "delayed"
    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    PARKED = "parked"

    @property
    def is_final(self) -> bool:
        """Whether the job will not run again by itself."""
        return self in (JobState.COMPLETED, JobState.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
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
    """Epoch seconds; not later than now is waiting, later is delayed."""
    created_at: float
    request_id: str | None
    traceparent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedJob:
    """A job that one worker holds until its lease ends."""

    id: str
    name: str
    queue: str
    data: bytes
    token: int
    """Grows with every claim of this job; names this claim in every later write."""
    failures: int
    """Runs that raised, before this one."""
    crashes: int
    """Runs that ended with their worker, before this one."""
    attempts: int
    backoff: Backoff | None
    timeout_s: float | None
    created_at: float
    request_id: str | None
    traceparent: str | None

    @property
    def attempt(self) -> int:
        """Number of this run, from 1. A run that was released at a shutdown is not counted."""
        return self.failures + self.crashes + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What one call of `claim` found."""

    jobs: tuple[ClaimedJob, ...]
    next_due_at: float | None
    """Epoch seconds at which the next delayed job of these queues is due, if there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The run returned. `result` is JSON."""

    result: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The run raised. With `retry_at` (epoch seconds) the job goes back, without it is failed for good."""

    error_type: str
    error: str
    retry_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescued:
    """A job taken from a worker that died or stopped reporting."""

    id: str
    name: str
    worker_id: str
    is_quarantined: bool
    """It took its worker down too often and is failed now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
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
    error_type: str | None
    error: str | None
    request_id: str | None
    traceparent: str | None
    created_at: datetime
    due_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many jobs are in each state."""

    waiting: int = 0
    delayed: int = 0
    active: int = 0
    completed: int = 0
    failed: int = 0
    parked: int = 0


class Engine(Protocol):
    """Stores jobs. Opened by `async with`; every method is atomic and raises `QueueUnavailableError` when the store
    does not answer, in which case a write's outcome is unknown unless the engine says otherwise."""

    @property
    def name(self) -> str:
        """Short name of the engine: `sqlite`, `redis`, `memory`."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(self, *exc_info: object) -> None: ...

    async def ping(self) -> None:
        """Return when the store answers."""

    async def add(self, jobs: Sequence[NewJob]) -> None:
        """Store all jobs or none. They are on disk (or replicated, as the store is set up) when this returns."""

    async def claim(
        self, *, queues: Sequence[str], names: Sequence[str], limit: int, worker_id: str, lease_s: float
    ) -> Claim:
        """Hand out up to `limit` jobs that are due, of these queues and names, each until `lease_s` from now.

        Jobs with other names are left for workers that know them. Cancellation: a job may have been claimed; a
        caller that is cancelled must let the call end and release what it got.
        """

    async def park_unknown(self, *, queues: Sequence[str], names: Sequence[str]) -> list[tuple[str, str]]:
        """Park waiting jobs of these queues whose name is not in `names`; return the id and name of each."""

    async def finish(self, job: ClaimedJob, outcome: Completed | Failed) -> bool:
        """Record how a run ended. `False`, and nothing changes, when `job.token` is no longer the current one."""

    async def extend(self, jobs: Sequence[ClaimedJob], *, lease_s: float) -> list[ClaimedJob]:
        """Push the leases to `lease_s` from now; return the jobs whose claim is no longer current."""

    async def release(self, jobs: Sequence[ClaimedJob]) -> None:
        """Give jobs back as they were before the claim; the run is not counted. Old tokens are ignored."""

    async def rescue(self, *, max_crashes: int, again_after_s: float) -> list[Rescued]:
        """Take back the jobs of workers that are dead or whose lease ran out.

        Each counts as a crash. After the first the job is due at once, after a later one in `again_after_s`, and with
        `max_crashes` of them it is failed. Any worker may call this at any time.
        """

    def attend(self, worker_id: str) -> AbstractAsyncContextManager[object]:
        """Mark a worker of this process as alive for the block. Jobs may be claimed for it only inside."""

    async def get(self, job_id: str) -> JobRecord | None:
        """Return a job, or `None` when there is none of this id (any more)."""

    async def list_jobs(
        self, *, state: JobState | None = None, queue: str | None = None, limit: int = 100
    ) -> list[JobRecord]:
        """Return jobs, newest first."""

    async def counts(self, *, queue: str | None = None) -> Counts:
        """Count the jobs of one queue, or of all."""

    async def prune(self, *, completed_before: float, failed_before: float) -> int:
        """Delete finished jobs that ended before these epoch seconds, a bounded number at a time; return how many."""

    @property
    def changes(self) -> int:
        """A number that has grown when a job was added, finished, released or rescued, by anybody."""

    async def wait_for_change(self, since: int, *, timeout: float) -> None:
        """Return when `changes` is above `since`, or after `timeout` seconds. May return early, without a change."""
