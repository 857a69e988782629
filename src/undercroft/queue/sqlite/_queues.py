"""What can be done with one queue in the SQLite engine, and its ledger."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence

from undercroft.queue._errors import QueueInUseError
from undercroft.queue._values import Entry, EntryPage, JobState, NewJob, QueueSettings, RateLimit
from undercroft.queue.sqlite._adding import add_jobs, check_parents
from undercroft.queue.sqlite._base import SqliteBase
from undercroft.queue.sqlite._ending import delete_jobs
from undercroft.queue.sqlite._rows import Limits
from undercroft.queue.sqlite._step import Step
from undercroft.queue.sqlite._working import put_due

_PRUNED_AT_ONCE = 1000
_PRUNED = 20_000
_DELETED_AT_ONCE = 5000


class Queues(SqliteBase):
    """The engine's methods for one queue."""

    async def queues(self) -> list[str]:
        rows = await self._read(lambda db: db.execute("SELECT name FROM queues ORDER BY name").fetchall())
        return [name for (name,) in rows]

    async def settings(self, queue: str) -> QueueSettings:
        row = await self._read(lambda db: db.execute(SETTINGS, (queue,)).fetchone())
        if row is None:
            return QueueSettings()
        is_paused, max_active, rate_max, rate_s = row
        rate = None if rate_max is None else RateLimit(max=rate_max, per_s=rate_s)
        return QueueSettings(is_paused=bool(is_paused), max_active=max_active, rate=rate)

    async def configure(self, queue: str, settings: QueueSettings) -> None:
        rate = (settings.rate.max, settings.rate.per_s) if settings.rate else (None, None)

        def run(step: Step) -> None:
            before = step.db.execute(SETTINGS, (queue,)).fetchone()
            step.db.execute(CONFIGURE, (queue, settings.is_paused, settings.max_active, *rate))
            if settings.is_paused != bool(before and before[0]):
                step.tell("paused" if settings.is_paused else "resumed", queue, None)
            step.has_news = True

        await self._write(run)

    async def prune(self, *, queues: Sequence[str]) -> int:
        pruned = 0
        while pruned < _PRUNED:
            now = self.time()
            # Most of the time there is nothing to do: look before taking the write lock.
            if not await self._read(lambda db, now=now: _expired(db, queues, now, limit=1)):  # type: ignore[misc]
                break
            some = await self._write(lambda step: _prune(step, queues))
            pruned += some
            if some < _PRUNED_AT_ONCE:
                break
        return pruned

    async def drain(self, queue: str, *, delayed: bool) -> int:
        def run(step: Step) -> int:
            due_by = math.inf if delayed else step.now
            waiting = step.db.execute(UNCLAIMED, (queue, queue, queue, due_by)).fetchall()
            return len(_delete(step, waiting))

        return await self._write(run)

    async def clean(self, queue: str, state: JobState, *, before: float, limit: int) -> list[str]:
        if state is JobState.ACTIVE:
            raise ValueError("active jobs cannot be cleaned: cancel them, or wait for their end")
        old = OLD.format(state=in_state(state), at="finished_at" if state.is_final else "since")

        def run(step: Step) -> list[str]:
            put_due(step, queue)
            return _delete(step, step.db.execute(old, (queue, before, limit)).fetchall())

        return await self._write(run)

    async def obliterate(self, queue: str, *, force: bool) -> None:
        def run(step: Step) -> None:
            if not force and step.db.execute(IS_ACTIVE, (queue,)).fetchone():
                raise QueueInUseError(f"queue {queue!r} has active jobs", hint="pause it and wait, or give force=True")
            _delete(step, step.db.execute("SELECT seq FROM jobs WHERE queue = ?", (queue,)).fetchall())
            for statement in FORGET:
                step.db.execute(statement, (queue,))

        await self._write(run)

    # --- Ledger -----------------------------------------------------------------------------------------------------

    async def entries(self, queue: str, *, prefix: str = "") -> dict[str, Entry]:
        rows = await self._read(lambda db: db.execute(ENTRIES, (queue, prefix)).fetchall())
        return {key: Entry(version, data.encode()) for key, version, data in rows}

    async def entry(self, queue: str, key: str) -> Entry | None:
        row = await self._read(lambda db: db.execute(ENTRY, (queue, key)).fetchone())
        return None if row is None else Entry(row[0], row[1].encode())

    async def list_entries(self, queue: str, *, limit: int, cursor: str | None = None) -> EntryPage:
        rows = await self._read(lambda db: db.execute(ENTRIES_AFTER, (queue, cursor or "", limit)).fetchall())
        entries = {key: Entry(version, data.encode()) for key, version, data in rows}
        return EntryPage(entries, rows[-1][0] if len(rows) == limit else None)

    async def save_entry(
        self, queue: str, key: str, data: bytes | None, *, version: int, jobs: Sequence[NewJob] = ()
    ) -> bool:
        check_parents(jobs)
        text = None if data is None else data.decode()

        def run(step: Step) -> bool:
            row = step.db.execute("SELECT version FROM ledger WHERE queue = ? AND key = ?", (queue, key)).fetchone()
            if (row[0] if row else 0) != version:
                return False
            if text is None:
                step.db.execute("DELETE FROM ledger WHERE queue = ? AND key = ?", (queue, key))
            else:
                step.db.execute("INSERT OR REPLACE INTO ledger VALUES (?, ?, ?, ?)", (queue, key, version + 1, text))
            step.db.execute("INSERT OR IGNORE INTO queues (name) VALUES (?)", (queue,))
            if jobs:
                add_jobs(step, jobs)
            return True

        return await self._write(run)


def in_state(state: JobState) -> str:
    """Return the condition on a job's state that has the state's own index used."""
    # SQLite takes a partial index only for a condition that is spelled like the index's.
    among = " AND state IN ('completed', 'failed')" if state.is_final else ""
    return f"state = '{state.value}'{among}"


def _delete(step: Step, rows: Sequence[tuple[int]]) -> list[str]:
    seqs = [seq for (seq,) in rows]
    lots = range(0, len(seqs), _DELETED_AT_ONCE)
    return [job_id for at in lots for job_id in delete_jobs(step, seqs[at : at + _DELETED_AT_ONCE])]


def _prune(step: Step, queues: Sequence[str]) -> int:
    expired = _expired(step.db, queues, step.now, limit=_PRUNED_AT_ONCE)
    step.db.executemany("DELETE FROM jobs WHERE seq = ?", expired)
    step.db.execute("DELETE FROM deduplications WHERE until <= ?", (step.now,))
    step.db.execute("DELETE FROM minutes WHERE at < ?", (step.now - 7200,))
    step.db.execute("DELETE FROM listeners WHERE until <= ?", (step.now,))
    return len(expired)


def _expired(db: sqlite3.Connection, queues: Sequence[str], now: float, *, limit: int) -> list[tuple[int]]:
    """Return finished jobs that need not be kept."""
    found: list[tuple[int]] = []
    for keep, text in db.execute("SELECT id, limits FROM keeps").fetchall():
        limits = Limits.read(text)
        for queue in queues:
            for state, age, count in (
                ("completed", limits.completed_age, limits.completed_count),
                ("failed", limits.failed_age, limits.failed_count),
            ):
                last = _last_gone(db, queue, state, age=None if age is None else now - age, count=count)
                if last is not None:
                    found += db.execute(GONE, (queue, state, keep, *last, limit - len(found))).fetchall()
    return found


def _last_gone(
    db: sqlite3.Connection, queue: str, state: str, *, age: float | None, count: int | None
) -> tuple[float, float, float] | None:
    """Return the end (twice) and `seq` of the newest job that need not be kept."""
    ends = [] if age is None else [(age, math.inf)]
    if count is not None:
        ends += db.execute(OUTNUMBERED, (queue, state, count)).fetchall()
    if not ends:
        return None
    at, seq = max(ends)
    return at, at, seq


SETTINGS = "SELECT is_paused, max_active, rate_max, rate_s FROM queues WHERE name = ?"
CONFIGURE = """
INSERT INTO queues (name, is_paused, max_active, rate_max, rate_s) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET is_paused = excluded.is_paused, max_active = excluded.max_active,
                                 rate_max = excluded.rate_max, rate_s = excluded.rate_s"""

UNCLAIMED = """
SELECT seq FROM jobs WHERE state = 'waiting' AND queue = ?
UNION ALL SELECT seq FROM jobs WHERE state = 'parked' AND queue = ?
UNION ALL SELECT seq FROM jobs WHERE state = 'delayed' AND queue = ? AND due_at <= ?"""

OLD = "SELECT seq FROM jobs WHERE {state} AND queue = ? AND {at} < ? ORDER BY {at} LIMIT ?"

IS_ACTIVE = "SELECT 1 FROM jobs WHERE state = 'active' AND queue = ? LIMIT 1"

FORGET = [
    "DELETE FROM deduplications WHERE queue = ?",
    "DELETE FROM minutes WHERE queue = ?",
    "DELETE FROM ledger WHERE queue = ?",
    "DELETE FROM queues WHERE name = ?",
]

OUTNUMBERED = """
SELECT finished_at, seq FROM jobs WHERE queue = ? AND state = ? AND state IN ('completed', 'failed')
ORDER BY finished_at DESC, seq DESC LIMIT 1 OFFSET ?"""

GONE = """
SELECT seq FROM jobs WHERE queue = ? AND state = ? AND state IN ('completed', 'failed') AND keep = ?
                           AND finished_at <= ? AND (finished_at < ? OR seq <= ?)
ORDER BY finished_at LIMIT ?"""

ENTRIES = "SELECT key, version, data FROM ledger WHERE queue = ?1 AND substr(key, 1, length(?2)) = ?2"
ENTRY = "SELECT version, data FROM ledger WHERE queue = ? AND key = ?"
ENTRIES_AFTER = "SELECT key, version, data FROM ledger WHERE queue = ? AND key > ? ORDER BY key LIMIT ?"
