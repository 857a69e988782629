"""The SQLite engine's rows, and the values that they are made from and turned into."""

from __future__ import annotations

from enum import IntFlag
from functools import lru_cache
from typing import Any

import msgspec

from undercroft._core.clock import utc
from undercroft.queue._backoff import Backoff
from undercroft.queue._values import ClaimedJob, Doom, JobRecord, JobState, NewJob


class Flag(IntFlag):
    """What the end of a job, or its deletion, has to look after beyond its own row (`jobs.flags`)."""

    CHILD = 1
    """A parent may wait for it."""
    UNIQUE = 2
    """It may hold a deduplication key that is free when it has ended."""
    DROP_COMPLETED = 4
    """Deleted as it completes."""
    DROP_FAILED = 8
    LOGS = 16
    PARENT = 32
    # 48 = LOGS | PARENT is written out in the schema's trigger.


class Limits(msgspec.Struct, frozen=True, array_like=True):
    """How long a job is kept: both of its `Keep`s. A queue has few different ones, so they are a table of their own."""

    completed_age: float | None
    completed_count: int | None
    failed_age: float | None
    failed_count: int | None

    @classmethod
    def of(cls, job: NewJob) -> Limits:
        completed, failed = job.keep_completed, job.keep_failed
        return cls(completed.age_s, completed.count, failed.age_s, failed.count)

    @classmethod
    def read(cls, text: str) -> Limits:
        return msgspec.json.decode(text, type=cls)

    @property
    def is_for_ever(self) -> bool:
        return self == _FOR_EVER

    def text(self) -> str:
        return msgspec.json.encode(self).decode()


_FOR_EVER = Limits(None, None, None, None)

NEW = (
    "seq", "id", "queue", "name", "state", "priority", "urgency", "position", "due_at", "flags", "keep", "since",
    "attempts", "backoff", "timeout_s", "created_at", "request_id", "traceparent", "tags", "on_failure", "parent_id",
    "parent_queue", "deduplication_key", "data",
)  # fmt: skip


def flags_of(job: NewJob) -> int:
    """Return what is known of a new job's flags by itself."""
    flags = 0
    if job.parent_id is not None:
        flags |= Flag.CHILD
    if job.has_children:
        flags |= Flag.PARENT
    if job.deduplication is not None:
        flags |= Flag.UNIQUE
    if job.keep_completed.count == 0:
        flags |= Flag.DROP_COMPLETED
    if job.keep_failed.count == 0:
        flags |= Flag.DROP_FAILED
    return int(flags)


def new_row(job: NewJob, *, seq: int, keep: int | None, now: float) -> tuple[object, ...]:
    """Return the row (`NEW`) of a job to store."""
    state = "blocked" if job.has_children else "delayed" if job.due_at > now else "waiting"
    parent_queue = None if job.parent_id is None else job.parent_queue or job.queue
    key = job.deduplication.key if job.deduplication else None
    return (
        seq, job.id, job.queue, job.name, state, job.priority, job.priority, -seq if job.lifo else seq, job.due_at,
        flags_of(job), keep, now, job.attempts, _backoff_text(job.backoff), job.timeout_s, job.created_at,
        job.request_id, job.carrier, msgspec.json.encode(job.tags).decode() if job.tags else None, job.on_failure,
        job.parent_id, parent_queue, key, job.data.decode(),
    )  # fmt: skip


class ClaimRow(msgspec.Struct, array_like=True):
    """A job as the claim reads it, in one JSON text for all of them.

    Instants come out with 15 digits, hundredths of a millisecond: enough for those who are told them.
    """

    seq: int
    id: str
    name: str
    queue: str
    data: str
    token: int
    flags: int
    failures: int
    crashes: int
    attempts: int
    backoff: str | None
    timeout_s: float | None
    created_at: float
    due_at: float
    priority: int
    request_id: str | None
    traceparent: str | None
    tags: str | None
    on_failure: str | None
    doom_type: str | None
    doom: str | None

    def claimed(self) -> ClaimedJob:
        """Return the job as it is handed out, by the claim that makes its token the next one."""
        return ClaimedJob(
            id=self.id,
            name=self.name,
            queue=self.queue,
            data=self.data.encode(),
            token=self.token + 1,
            lock=f"{self.seq}:{self.flags}",
            failures=self.failures,
            crashes=self.crashes,
            attempts=self.attempts,
            backoff=_backoff(self.backoff) if self.backoff else None,
            timeout_s=self.timeout_s,
            created_at=self.created_at,
            due_at=self.due_at,
            priority=self.priority,
            request_id=self.request_id,
            carrier=self.traceparent,
            tags=_tags(self.tags) if self.tags else (),
            on_failure=self.on_failure,
            doom=Doom(error_type=self.doom_type, error=self.doom or "") if self.doom_type else None,
        )


claim_rows = msgspec.json.Decoder(list[ClaimRow])


def lock_of(job: ClaimedJob) -> tuple[int, int]:
    """Return the `seq` of a claimed job, and its flags when it was claimed.

    A lock of another engine's making is that of no job: its claim is not current here.
    """
    seq, _, flags = job.lock.partition(":")
    return (int(seq), int(flags)) if seq and flags else (-1, 0)


RECORD = (
    "id", "name", "queue", "state", "data", "priority", "failures", "crashes", "attempts", "worker_id", "result",
    "progress", "error_type", "error", "stack", "request_id", "traceparent", "tags", "parent_id", "parent_queue",
    "deduplication_key", "created_at", "due_at", "started_at", "finished_at",
)  # fmt: skip


def record_of(row: tuple[Any, ...], *, now: float) -> JobRecord:
    """Return the job of a row (`RECORD`). A delayed one that is due is waiting: the next claim would take it."""
    values = dict(zip(RECORD, row, strict=True))
    if values["state"] == "delayed" and values["due_at"] <= now:
        values["state"] = "waiting"
    for key in ("data", "result", "progress"):
        values[key] = values[key].encode() if values[key] is not None else None
    for key in ("created_at", "due_at", "started_at", "finished_at"):
        values[key] = utc(values[key]) if values[key] is not None else None
    values["tags"] = _tags(values["tags"]) if values["tags"] else ()
    values["carrier"] = values.pop("traceparent")  # the column is named after what is in it nearly always
    return JobRecord(**{**values, "state": JobState(values["state"])})


@lru_cache(maxsize=1024)
def _backoff_text(backoff: Backoff | None) -> str | None:
    return msgspec.json.encode(backoff).decode() if backoff else None


@lru_cache(maxsize=1024)
def _backoff(text: str) -> Backoff:
    return msgspec.json.decode(text, type=Backoff)


@lru_cache(maxsize=1024)
def _tags(text: str) -> tuple[str, ...]:
    return msgspec.json.decode(text, type=tuple[str, ...])
