"""What the SQLite engine shows: pages of jobs, counts and statistics."""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Callable
from itertools import islice
from typing import Any

from undercroft.queue._values import (
    Counts,
    JobFilter,
    JobPage,
    JobRecord,
    JobState,
    Minute,
    QueueStatistics,
    Span,
)
from undercroft.queue.sqlite._base import SqliteBase
from undercroft.queue.sqlite._queues import in_state
from undercroft.queue.sqlite._rows import RECORD, record_of
from undercroft.queue.sqlite._step import as_json

_LOOKED_AT = 5000
_LOOKED_AT_ONCE = 500
_RECENT = 1000

Key = tuple[float, int]
"""Where a job is in a list: when it finished (0 in a list of jobs that have not), and its `seq`."""


class Lists(SqliteBase):
    """The engine's methods that look at many jobs."""

    async def list_jobs(self, wanted: JobFilter, *, limit: int, cursor: str | None = None) -> JobPage:
        """As the protocol says. A cursor is the `Key` of the last job that was looked at; a page looks at 5000 at most.

        Jobs that finished are listed by when they did, others and mixed lists by when they were added.
        """
        now, last = self.time(), _key_of(cursor)
        return await self._read(lambda db: _page(db, wanted, limit, last, now))

    async def counts(self, *, queue: str | None = None) -> Counts:
        now = self.time()

        def run(db: sqlite3.Connection) -> Counts:
            counts = {state.value: _count(db, state, queue) for state in JobState}
            due: int = db.execute(COUNT_DUE, (queue, now)).fetchone()[0]
            # What is due waits, though no claim has come by and said so.
            return Counts(**{**counts, "waiting": counts["waiting"] + due, "delayed": counts["delayed"] - due})

        return await self._read(run)

    async def statistics(self, queue: str) -> QueueStatistics:
        now = self.time()
        return await self._read(lambda db: _statistics(db, queue, now))


def _key_of(cursor: str | None) -> Key | None:
    if cursor is None:
        return None
    at, _, seq = cursor.partition(":")
    return float(at), int(seq)


def _page(db: sqlite3.Connection, wanted: JobFilter, limit: int, last: Key | None, now: float) -> JobPage:
    found: list[JobRecord] = []
    matches = _matcher(wanted)
    for _ in range(_LOOKED_AT // _LOOKED_AT_ONCE):
        keys = _keys_after(db, wanted, last, now)
        rows = db.execute(PICK, (as_json(seq for _, seq in keys),)).fetchall()
        records = {seq: record_of(tuple(row), now=now) for seq, *row in rows}
        for at, seq in keys:
            if len(found) == limit:
                return JobPage(jobs=tuple(found), cursor=_cursor(last))
            last = at, seq
            if matches(records[seq]):
                found.append(records[seq])
        if len(keys) < _LOOKED_AT_ONCE:
            return JobPage(jobs=tuple(found), cursor=None)
    return JobPage(jobs=tuple(found), cursor=_cursor(last))


def _cursor(last: Key | None) -> str | None:
    return None if last is None else f"{last[0]!r}:{last[1]}"


def _keys_after(db: sqlite3.Connection, wanted: JobFilter, last: Key | None, now: float) -> list[Key]:
    """Return the next jobs of the queue and state that are wanted, newest first."""
    by = "finished_at" if wanted.state is not None and wanted.state.is_final else "0"
    conditions, values = _place(wanted, now)
    if last is not None:
        conditions.append("seq < ?" if by == "0" else "finished_at <= ? AND (finished_at < ? OR seq < ?)")
        values += [last[1]] if by == "0" else [last[0], last[0], last[1]]
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    order = "seq DESC" if by == "0" else "finished_at DESC, seq DESC"
    return db.execute(f"SELECT {by}, seq FROM jobs {where} ORDER BY {order} LIMIT ?",
                      (*values, _LOOKED_AT_ONCE)).fetchall()  # fmt: skip


def _place(wanted: JobFilter, now: float) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []
    if wanted.queue is not None:
        conditions.append("queue = ?")
        values.append(wanted.queue)
    if wanted.state is JobState.WAITING:
        conditions.append("(state = 'waiting' OR state = 'delayed' AND due_at <= ?)")
        values.append(now)
    elif wanted.state is JobState.DELAYED:
        conditions.append("state = 'delayed' AND due_at > ?")
        values.append(now)
    elif wanted.state is not None:
        conditions.append(in_state(wanted.state))
    return conditions, values


def _matcher(wanted: JobFilter) -> Callable[[JobRecord], bool]:
    text = None if wanted.text is None else wanted.text.casefold()

    def matches(job: JobRecord) -> bool:
        created_at = job.created_at.timestamp()
        return (
            (wanted.name is None or job.name == wanted.name)
            and (wanted.tag is None or wanted.tag in job.tags)
            and (wanted.error_type is None or job.error_type == wanted.error_type)
            and (wanted.request_id is None or job.request_id == wanted.request_id)
            and (wanted.created_after is None or created_at >= wanted.created_after)
            and (wanted.created_before is None or created_at < wanted.created_before)
            and (text is None or text in job.data.decode().casefold() or text in (job.error or "").casefold())
        )

    return matches


def _count(db: sqlite3.Connection, state: JobState, queue: str | None) -> int:
    where = in_state(state) + ("" if queue is None else " AND queue = ?")
    count: int = db.execute(f"SELECT count(*) FROM jobs WHERE {where}", () if queue is None else (queue,)).fetchone()[0]
    return count


def _statistics(db: sqlite3.Connection, queue: str, now: float) -> QueueStatistics:
    ends = [db.execute(SPANS.format(in_state(state)), (queue, _RECENT)).fetchall()
            for state in (JobState.COMPLETED, JobState.FAILED)]  # fmt: skip
    newest = heapq.merge(*ends, key=lambda row: row[:2], reverse=True)
    return QueueStatistics(
        oldest_waiting_at=db.execute(OLDEST, (queue, queue, now)).fetchone()[0],
        minutes=tuple(
            Minute(at=float(at), completed=completed, failed=failed)
            for at, completed, failed in db.execute(MINUTES, (queue, now - 3600)).fetchall()
        ),
        recent=tuple(
            Span(
                due_at=due_at,
                started_at=started_at or finished_at,
                finished_at=finished_at,
                is_failed=state == "failed",
            )
            for finished_at, _, due_at, started_at, state in islice(newest, _RECENT)
        ),
    )


PICK = f"SELECT seq, {', '.join(RECORD)} FROM jobs WHERE seq IN (SELECT value FROM json_each(?))"

COUNT_DUE = "SELECT count(*) FROM jobs WHERE state = 'delayed' AND (?1 IS NULL OR queue = ?1) AND due_at <= ?2"

SPANS = """
SELECT finished_at, seq, due_at, started_at, state FROM jobs WHERE {} AND queue = ?
ORDER BY finished_at DESC, seq DESC LIMIT ?"""

OLDEST = """
SELECT min(due_at) FROM (
    SELECT min(due_at) AS due_at FROM jobs WHERE state = 'waiting' AND queue = ?
    UNION ALL SELECT min(due_at) FROM jobs WHERE state = 'delayed' AND queue = ? AND due_at <= ?)"""

MINUTES = "SELECT at, completed, failed FROM minutes WHERE queue = ? AND at > ? ORDER BY at DESC LIMIT 60"
