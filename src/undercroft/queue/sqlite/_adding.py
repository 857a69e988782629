"""How the SQLite engine adds jobs: all or none, each id once, each deduplication key to one job."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import msgspec

from undercroft.queue._values import Added, Deduplication, NewJob
from undercroft.queue.sqlite._ending import delete_jobs, start_parent
from undercroft.queue.sqlite._rows import NEW, Flag, Limits, new_row
from undercroft.queue.sqlite._step import Step

_ROWS = (64, 8, 1)


def check_parents(jobs: Sequence[NewJob]) -> None:
    """Raise `ValueError` when a parent is not among the jobs before its child."""
    if not any(job.parent_id is not None for job in jobs):
        return
    seen: set[tuple[str, str]] = set()
    for job in jobs:
        if job.parent_id is not None and (job.parent_queue or job.queue, job.parent_id) not in seen:
            raise ValueError(f"job {job.id!r}: its parent {job.parent_id!r} is not among the jobs before it")
        seen.add((job.queue, job.id))


def add_jobs(step: Step, jobs: Sequence[NewJob]) -> list[Added]:
    """Store jobs. The children of one that is not stored are not stored either, so that a flow which is added twice is
    there once."""
    adding = _Adding(step, jobs)
    if not any(_needs_care(job) for job in jobs):
        return adding.add_plain(jobs)
    parents = {(job.parent_queue or job.queue, job.parent_id) for job in jobs if job.parent_id is not None}
    added = [adding.add_one(job, is_parent=(job.queue, job.id) in parents) for job in jobs]
    for seq in adding.parents.values():
        start_parent(step, seq, due_at=0)
    return added


def _needs_care(job: NewJob) -> bool:
    return job.deduplication is not None or job.has_children or job.parent_id is not None


class _Adding:
    """One call of `add`, or several that came together."""

    def __init__(self, step: Step, jobs: Sequence[NewJob]) -> None:
        self._step = step
        self._db = step.db
        self._seq = self._last_seq()
        self._keeps: dict[Limits, int | None] = {}
        self.parents: dict[tuple[str, str], int] = {}
        """`seq` of the parents that this call stored, by queue and id."""
        self._stored: set[tuple[str, str]] = set()
        for queue in {job.queue for job in jobs}:
            self._db.execute("INSERT OR IGNORE INTO queues (name) VALUES (?)", (queue,))
        step.has_news = True

    def add_plain(self, jobs: Sequence[NewJob]) -> list[Added]:
        """Store jobs that have nothing to do with any other."""
        first = self._seq + 1
        inserted = self._insert([self._row(job) for job in jobs])
        if inserted == len(jobs):
            added = [Added(job.id, True) for job in jobs]
        else:
            range_ = (first, self._seq)
            rows = self._db.execute("SELECT seq FROM jobs WHERE seq BETWEEN ? AND ?", range_).fetchall()
            new = {seq for (seq,) in rows}
            added = [Added(job.id, first + n in new) for n, job in enumerate(jobs)]
        if self._step.is_heard:
            for job, what in zip(jobs, added, strict=True):
                if what.is_new:
                    self._tell(job)
        return added

    def add_one(self, job: NewJob, *, is_parent: bool) -> Added:
        """Store a job, unless another stands for it."""
        if is_parent and not job.has_children:
            job = msgspec.structs.replace(job, has_children=True)
        stands = self._stands_for(job)
        if stands is not None:
            return Added(stands, False)
        row = self._row(job)
        seq = self._seq
        self._insert([row])
        self._stored.add((job.queue, job.id))
        if job.has_children:
            self.parents[job.queue, job.id] = seq
        if job.parent_id is not None:
            self._add_to_parent(job)
        self._tell(job)
        return Added(job.id, True)

    def _stands_for(self, job: NewJob) -> str | None:
        if self._db.execute("SELECT 1 FROM jobs WHERE id = ? AND queue = ?", (job.id, job.queue)).fetchone():
            return job.id
        if job.parent_id is not None and (job.parent_queue or job.queue, job.parent_id) not in self._stored:
            return job.id
        return self._held_by_another(job, job.deduplication) if job.deduplication else None

    def _held_by_another(self, job: NewJob, rule: Deduplication) -> str | None:
        """BullMQ's rules (`deduplicateJob` in its `addStandardJob` script, 5.x)."""
        now, until = self._step.now, None if rule.ttl_s is None else self._step.now + rule.ttl_s
        held = self._db.execute(HELD, (job.queue, rule.key, now)).fetchone()
        if held is None:
            self._hold(job, rule, job.id, until)
            return None
        holder, held_until, seq = held
        if rule.replace:
            if seq is None:
                return str(holder)
            delete_jobs(self._step, [seq])
            self._hold(
                job, rule, job.id, until if rule.extend or held_until is None or rule.ttl_s is None else held_until
            )
            self._step.tell("deduplicated", job.queue, job.id, deduplicationId=rule.key, deduplicatedJobId=holder)
            return None
        if rule.extend and until is not None:
            self._hold(job, rule, holder, until)
        self._step.tell("deduplicated", job.queue, holder, deduplicationId=rule.key, deduplicatedJobId=job.id)
        return str(holder)

    def _hold(self, job: NewJob, rule: Deduplication, holder: str, until: float | None) -> None:
        self._db.execute("INSERT OR REPLACE INTO deduplications VALUES (?, ?, ?, ?)",
                         (job.queue, rule.key, holder, until))  # fmt: skip

    def _add_to_parent(self, job: NewJob) -> None:
        parent = self.parents[job.parent_queue or job.queue, job.parent_id or ""]
        self._db.execute(ADD_CHILD, (parent, parent, job.id, job.queue, job.on_child_failure.value))
        self._db.execute("UPDATE jobs SET pending = pending + 1 WHERE seq = ?", (parent,))

    def _row(self, job: NewJob) -> tuple[object, ...]:
        limits = Limits.of(job)
        if limits not in self._keeps:
            self._keeps[limits] = self._keep(limits)
        self._seq += 1
        return new_row(job, seq=self._seq, keep=self._keeps[limits], now=self._step.now)

    def _keep(self, limits: Limits) -> int | None:
        if limits.is_for_ever:
            return None
        text = limits.text()
        self._db.execute("INSERT OR IGNORE INTO keeps (limits) VALUES (?)", (text,))
        return int(self._db.execute("SELECT id FROM keeps WHERE limits = ?", (text,)).fetchone()[0])

    def _insert(self, rows: list[tuple[object, ...]]) -> int:
        inserted = 0
        while rows:
            size = next(size for size in _ROWS if size <= len(rows))
            some, rows = rows[:size], rows[size:]
            inserted += self._db.execute(_insert_of(size), [value for row in some for value in row]).rowcount
        return inserted

    def _last_seq(self) -> int:
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'jobs'").fetchone()
        return int(row[0]) if row else 0

    def _tell(self, job: NewJob) -> None:
        if not self._step.is_heard:
            return
        self._step.tell("added", job.queue, job.id, name=job.name)
        if job.has_children:
            self._step.tell("waiting-children", job.queue, job.id)
        elif job.due_at > self._step.now:
            self._step.tell("delayed", job.queue, job.id, delay=int(job.due_at * 1000))
        else:
            self._step.tell("waiting", job.queue, job.id)


@cache
def _insert_of(rows: int) -> str:
    one = f"({', '.join('?' * len(NEW))})"
    return f"INSERT INTO jobs ({', '.join(NEW)}) VALUES {', '.join([one] * rows)} ON CONFLICT (id, queue) DO NOTHING"


HELD = """
SELECT job, until, (SELECT seq FROM jobs WHERE id = job AND queue = d.queue AND state = 'delayed' AND due_at > ?3)
FROM deduplications d WHERE queue = ?1 AND key = ?2 AND (until IS NULL OR until > ?3)"""

ADD_CHILD = """
INSERT INTO children (parent, n, id, queue, on_failure)
VALUES (?, (SELECT count(*) FROM children WHERE parent = ?), ?, ?, ?)"""

assert int(Flag.LOGS | Flag.PARENT) == 48  # as the schema's trigger has it
