"""Dead letters: the jobs that failed for good, grouped by why."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from undercroft._core.durations import Duration, to_seconds
from undercroft.queue._operations import Operations, change_each
from undercroft.queue._protocol import Engine
from undercroft.queue._values import JobPage, JobRecord, JobState

_LONGEST = 500
_SAMPLES = 5
# What differs between two failures of one kind. Each holds a digit, and "#" none, so a second pass changes nothing.
_VARYING = re.compile(
    r"""
    \b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b     # UUID
    | \b0x[0-9a-f]+\b                                   # address
    | \b(?=[a-f]*[0-9])[0-9a-f]{8,}\b                   # hexadecimal id
    | \b(?=[a-z]*[0-9])[0-9a-z]{16,}\b                  # ULID, cuid and the like
    | [0-9]+(?:[.,:][0-9]+)*                            # number, time
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
# Not an apostrophe: a quote begins after, and ends before, something that is no letter.
_QUOTED = re.compile(r"""(?<!\w)(?:'[^']+'|"[^"]+")(?!\w)""")


def normalise_message(message: str) -> str:
    """Return what messages of one kind have in common: numbers and ids become `#`, quoted texts `'…'`."""
    plain = " ".join(message[:_LONGEST].split())
    return _QUOTED.sub(lambda found: f"{found[0][0]}…{found[0][0]}", _VARYING.sub("#", plain))


class DeadLetterReason(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs of one name that failed for good in one way."""

    name: str
    error_type: str
    message: str
    """Of the error, with what varies left out. See `normalise_message`."""
    count: int
    first_at: datetime | None
    """When the earliest of them failed."""
    last_at: datetime | None
    sample_ids: tuple[str, ...]
    """Up to 5 of them, newest first."""


@dataclass(slots=True)
class _Tally:
    count: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    sample_ids: list[str] = field(default_factory=list)

    def add(self, record: JobRecord) -> None:
        self.count += 1
        at = record.finished_at
        if at is not None:
            self.first_at = at if self.first_at is None else min(at, self.first_at)
            self.last_at = at if self.last_at is None else max(at, self.last_at)
        if len(self.sample_ids) < _SAMPLES:
            self.sample_ids.append(record.id)


class DeadLetters:
    """The jobs that failed for good: `queue.dead_letters`. Usable while its queue is open.

    They are kept as long as their `keep_failed` says, 7 days by default.
    """

    def __init__(self, jobs: Operations, engine: Engine) -> None:
        self._jobs = jobs
        self._engine = engine

    async def list(
        self,
        *,
        queue: str | None = None,
        name: str | None = None,
        error_type: str | None = None,
        tag: str | None = None,
        text: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> JobPage:
        """Return up to `limit` of them, newest first. See `Queue.list_jobs`."""
        return await self._jobs.list_jobs(
            state=JobState.FAILED,
            queue=queue,
            name=name,
            error_type=error_type,
            tag=tag,
            text=text,
            limit=limit,
            cursor=cursor,
        )

    async def reasons(
        self, *, queue: str | None = None, name: str | None = None, error_type: str | None = None
    ) -> tuple[DeadLetterReason, ...]:
        """Group them by name, type of error and message, the most frequent first. Reads all of them."""
        tallies: dict[tuple[str, str, str], _Tally] = {}
        async for record in self._matching(queue, name, error_type):
            tallies.setdefault(_reason(record), _Tally()).add(record)
        reasons = [
            DeadLetterReason(
                name=key[0],
                error_type=key[1],
                message=key[2],
                count=tally.count,
                first_at=tally.first_at,
                last_at=tally.last_at,
                sample_ids=tuple(tally.sample_ids),
            )
            for key, tally in tallies.items()
        ]
        return tuple(sorted(reasons, key=lambda reason: (-reason.count, reason.name, reason.error_type)))

    async def retry(
        self,
        *,
        queue: str | None = None,
        name: str | None = None,
        error_type: str | None = None,
        message: str | None = None,
    ) -> int:
        """Have those that match run again from the beginning; return how many.

        Args:
            message: As a `DeadLetterReason` has it: only the jobs of that reason.
        """
        found = [
            (record.id, record.queue)
            async for record in self._matching(queue, name, error_type)
            if message is None or _reason(record)[2] == message
        ]
        return await change_each(found, self._engine.retry)

    async def purge(
        self,
        *,
        queue: str | None = None,
        name: str | None = None,
        error_type: str | None = None,
        message: str | None = None,
        older_than: Duration = 0.0,
    ) -> int:
        """Delete those that match and failed more than `older_than` ago; return how many."""
        before = self._engine.time() - to_seconds(older_than, name="older_than")
        found = [
            (record.id, record.queue)
            async for record in self._matching(queue, name, error_type)
            if (message is None or _reason(record)[2] == message)
            and (record.finished_at is None or record.finished_at.timestamp() <= before)
        ]
        return await change_each(found, self._engine.remove)

    def _matching(self, queue: str | None, name: str | None, error_type: str | None) -> AsyncGenerator[JobRecord, None]:
        return self._jobs.iter_jobs(state=JobState.FAILED, queue=queue, name=name, error_type=error_type)


def _reason(record: JobRecord) -> tuple[str, str, str]:
    return (record.name, record.error_type or "", normalise_message(record.error or ""))
