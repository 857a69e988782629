"""The run that is going on, as its handler sees it: `current_job()`."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import msgspec

from undercroft._core.clock import utc
from undercroft._core.codec import to_json
from undercroft._core.context import Correlation
from undercroft.logging import redact_text
from undercroft.queue._errors import JobLostError, NotInJobError
from undercroft.queue._protocol import Engine
from undercroft.queue._tracing import names_of
from undercroft.queue._values import Beat, ClaimedJob, JobState, tenant_of

LOG_LINES = 1000
"""How many of the newest lines of a job's log are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A child of the job that is running."""

    id: str
    queue: str
    state: JobState | None
    """`None`: it was removed."""
    result: Any = None
    """What a completed child returned, as JSON gives it."""
    error: str | None = None
    """Of a child that failed for good."""


class Workplace(Protocol):
    """What a run needs of its worker."""

    @property
    def id(self) -> str: ...

    @property
    def engine(self) -> Engine: ...

    @property
    def lease_s(self) -> float: ...

    def heed(self, beat: Beat) -> None:
        """Act on what a heartbeat found out."""


class JobContext:
    """The run that is going on. Lives as long as the run; what it reports afterwards is refused as lost.

    The methods are coroutines. A plain handler, which runs in a thread, calls them with
    `anyio.from_thread.run(current_job().progress, 0.5)`. A handler in a process of its own has no context.
    """

    __slots__ = ("_claimed", "_place")

    def __init__(self, claimed: ClaimedJob, place: Workplace) -> None:
        self._claimed = claimed
        self._place = place

    @property
    def id(self) -> str:
        """The job's id: the same for every run of it."""
        return self._claimed.id

    @property
    def name(self) -> str:
        """What the queue calls the job."""
        return self._claimed.name

    @property
    def queue(self) -> str:
        """The queue that the job came from."""
        return self._claimed.queue

    @property
    def attempt(self) -> int:
        """Number of this run, from 1."""
        return self._claimed.attempt

    @property
    def attempts(self) -> int:
        """Runs allowed."""
        return self._claimed.attempts

    @property
    def is_last_attempt(self) -> bool:
        """Whether an error now is the end of the job."""
        return self._claimed.failures + 1 >= self._claimed.attempts

    @property
    def token(self) -> int:
        """Grows with every claim of this job: give it to a resource that can refuse an older one (fencing)."""
        return self._claimed.token

    @property
    def tags(self) -> tuple[str, ...]:
        """What the job was marked with when it was enqueued."""
        return self._claimed.tags

    @property
    def tenant(self) -> str | None:
        """Whose job it is, if somebody said so when it was enqueued."""
        return tenant_of(self._claimed.tags)

    @property
    def enqueued_at(self) -> datetime:
        """When it was enqueued."""
        return utc(self._claimed.created_at)

    async def progress(self, value: Any) -> None:
        """Store how far the run has come: a number, or anything that has a JSON form.

        Raises:
            JobLostError: The job is another worker's by now.
            TypeError: `value` has no JSON form.
        """
        if not await self._place.engine.set_progress(self._claimed, to_json(value)):
            raise self._lost()

    async def log(self, line: str) -> None:
        """Append a line to the job's own log, of which the newest 1000 are kept: `JobHandle.logs()`.

        Secrets and personal data in it are hidden, as in log lines.
        """
        await self._place.engine.add_log(self._claimed, redact_text(line), keep=LOG_LINES)

    async def heartbeat(self) -> None:
        """Make sure that the job is still this run's, before a step that must not be done twice.

        The worker renews the lease by itself: a long run need not call this.

        Raises:
            JobLostError: The job is another worker's by now.
        """
        place = self._place
        beat = await place.engine.beat(place.id, [self._claimed], lease_s=place.lease_s)
        if any(lost.id == self._claimed.id for lost in beat.lost):
            place.heed(beat)
            raise self._lost()
        place.heed(beat)

    async def children(self) -> list[Child]:
        """Return the children of this job, in the order in which they were given."""
        records = await self._place.engine.children(self._claimed.id, queue=self._claimed.queue)
        return [
            Child(
                id=record.id,
                queue=record.queue,
                state=record.state,
                result=None if record.result is None else msgspec.json.decode(record.result),
                error=record.error,
            )
            for record in records
        ]

    async def children_results(self) -> list[Any]:
        """Return what the children that completed returned, in the order in which they were given."""
        return [child.result for child in await self.children() if child.state is JobState.COMPLETED]

    def _lost(self) -> JobLostError:
        return JobLostError(
            f"job {self.name!r} {self.id} is no longer this run's: its lease ended, and another worker has it",
            job_id=self.id,
        )

    def __repr__(self) -> str:
        return f"JobContext(id={self.id!r}, name={self.name!r}, attempt={self.attempt})"


def correlation_of(claimed: ClaimedJob) -> Correlation:
    """Return the names of a run: its own span of the trace that it was enqueued in, or of a new one."""
    return names_of(claimed.id, claimed.request_id, claimed.carrier)[0]


current: ContextVar[JobContext] = ContextVar("undercroft_job")
"""Set by the worker, in a context that belongs to the run."""


def current_job() -> JobContext:
    """Return the run that this code is part of.

    Raises:
        NotInJobError: There is none; a job that is called directly has none either.
    """
    try:
        return current.get()
    except LookupError:
        raise NotInJobError(
            "no job is running here", hint="call it from a job's handler, run by a worker; a direct call has no context"
        ) from None
