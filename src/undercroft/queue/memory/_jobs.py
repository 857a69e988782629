"""A stored job of the memory engine, and the two indexes that hold such jobs.

Both indexes forget lazily: a job that left is skipped when it is met, and the index is rebuilt when more than half of
it is such rubbish. So every step costs O(log n) on average, and memory stays in proportion to the jobs stored.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator

import msgspec

from undercroft._core.clock import utc
from undercroft.queue._values import ChildRecord, ClaimedJob, Doom, JobRecord, JobState, NewJob

_FEW = 64  # rubbish below this is not worth a rebuild


class Child(msgspec.Struct, kw_only=True):
    """What a parent remembers of one child, also after the child is deleted."""

    record: ChildRecord
    is_counted: bool = False
    """The parent waits for it no longer."""


class StoredJob:
    """One job. Lives as long as it is stored; changed by `MemoryStore` only."""

    __slots__ = (
        "children", "crashes", "doom", "due_at", "entered_at", "error", "error_type", "failures", "finished_at",
        "is_cancelled", "lease_until", "log", "new", "order", "priority", "progress", "rank", "result", "stack",
        "started_at", "state", "ticket", "token", "unfinished", "worker_id",
    )  # fmt: skip

    def __init__(self, new: NewJob, *, order: int) -> None:
        self.new = new
        self.order = order
        """Place among the jobs of its priority."""
        self.priority = new.priority
        self.due_at = new.due_at
        self.state = JobState.WAITING
        self.rank = 0
        """Grows with every change of state of any job; 0: in no state."""
        self.ticket = 0
        """Of its place in a heap; 0: it is in none."""
        self.entered_at = 0.0
        self.token = 0
        self.worker_id: str | None = None
        self.lease_until = 0.0
        self.is_cancelled = False
        """Its holder is to be told."""
        self.unfinished = 0
        """Children that it waits for."""
        self.children: dict[tuple[str, str], Child] = {}
        self.log: deque[str] | None = None
        self.doom: Doom | None = None
        self.forget_runs()

    def forget_runs(self) -> None:
        """Be as if it had never run."""
        self.failures = self.crashes = 0
        self.started_at: float | None = None
        self.finished_at: float | None = None
        self.result: bytes | None = None
        self.progress: bytes | None = None
        self.error_type: str | None = None
        self.error: str | None = None
        self.stack: str | None = None

    def append_log(self, line: str, keep: int) -> None:
        """Append a line to its own log, of which the last `keep` are kept."""
        if self.log is None or self.log.maxlen != keep:
            self.log = deque(self.log or (), maxlen=keep)
        self.log.append(line)

    def is_held_by(self, claim: ClaimedJob) -> bool:
        """Tell whether this claim is the current one."""
        return self.state is JobState.ACTIVE and self.token == claim.token

    def claimed(self) -> ClaimedJob:
        """Return it as it is handed out."""
        new = self.new
        return ClaimedJob(
            id=new.id,
            name=new.name,
            queue=new.queue,
            data=new.data,
            token=self.token,
            failures=self.failures,
            crashes=self.crashes,
            attempts=new.attempts,
            backoff=new.backoff,
            timeout_s=new.timeout_s,
            created_at=new.created_at,
            due_at=self.due_at,
            priority=self.priority,
            request_id=new.request_id,
            carrier=new.carrier,
            tags=new.tags,
            on_failure=new.on_failure,
            doom=self.doom,
        )

    def record(self) -> JobRecord:
        """Return it as it is shown."""
        new = self.new
        return JobRecord(
            id=new.id,
            name=new.name,
            queue=new.queue,
            state=self.state,
            data=new.data,
            priority=self.priority,
            failures=self.failures,
            crashes=self.crashes,
            attempts=new.attempts,
            worker_id=self.worker_id,
            result=self.result,
            progress=self.progress,
            error_type=self.error_type,
            error=self.error,
            stack=self.stack,
            request_id=new.request_id,
            carrier=new.carrier,
            tags=new.tags,
            parent_id=new.parent_id,
            parent_queue=None if new.parent_id is None else new.parent_queue or new.queue,
            deduplication_key=new.deduplication.key if new.deduplication else None,
            created_at=utc(new.created_at),
            due_at=utc(self.due_at),
            started_at=None if self.started_at is None else utc(self.started_at),
            finished_at=None if self.finished_at is None else utc(self.finished_at),
        )


class JobHeap:
    """Jobs by urgency. A job is in at most one heap, under the ticket that it got there."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, float, int, StoredJob]] = []
        self._live = 0

    def __iter__(self) -> Iterator[StoredJob]:
        return (job for *_, ticket, job in self._entries if job.ticket == ticket)

    def push(self, job: StoredJob, *, by: tuple[float, float], ticket: int) -> None:
        """Add a job that is in no heap; the smallest `by` comes first. No ticket is given out twice."""
        job.ticket = ticket
        heapq.heappush(self._entries, (*by, ticket, job))
        self._live += 1

    def discard(self, job: StoredJob) -> None:
        """Forget a job that is in this heap."""
        job.ticket = 0
        self._live -= 1
        if len(self._entries) > 2 * self._live + _FEW:
            self._entries = [entry for entry in self._entries if entry[3].ticket == entry[2]]
            heapq.heapify(self._entries)

    def first(self) -> tuple[float, float, StoredJob] | None:
        """Return the most urgent job and its key; it stays."""
        while self._entries:
            major, minor, ticket, job = self._entries[0]
            if job.ticket == ticket:
                return major, minor, job
            heapq.heappop(self._entries)
        return None


class Arrivals:
    """The jobs of one queue in one state, in the order in which they came into it."""

    def __init__(self) -> None:
        self._entries: list[tuple[int, StoredJob]] = []
        self._begin = 0
        self._live = 0

    def __len__(self) -> int:
        return self._live

    def add(self, job: StoredJob, *, rank: int, now: float) -> None:
        """Add a job. `rank` is greater than every rank given out before."""
        job.rank = rank
        job.entered_at = now
        self._entries.append((rank, job))
        self._live += 1

    def discard(self, job: StoredJob) -> None:
        """Forget a job that is here."""
        job.rank = 0
        self._live -= 1
        if len(self._entries) > 2 * self._live + _FEW:
            self._entries = [entry for entry in self._entries if entry[1].rank == entry[0]]
            self._begin = 0

    def oldest(self) -> Iterator[StoredJob]:
        """Yield the jobs, first come first. They must not change while this is used."""
        entries = self._entries
        while self._begin < len(entries) and entries[self._begin][1].rank != entries[self._begin][0]:
            self._begin += 1  # what is gone from the front is never looked at again
        for at in range(self._begin, len(entries)):
            rank, job = entries[at]
            if job.rank == rank:
                yield job

    def newest(self, *, below: int | None = None) -> Iterator[StoredJob]:
        """Yield the jobs whose rank is less than `below`, last come first. They must not change while this is used."""
        entries = self._entries
        end = len(entries) if below is None else bisect_left(entries, below, key=lambda entry: entry[0])
        for at in range(end - 1, self._begin - 1, -1):
            rank, job = entries[at]
            if job.rank == rank:
                yield job
