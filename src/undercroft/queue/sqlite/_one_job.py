"""What can be done with one job in the SQLite engine."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import msgspec

from undercroft.queue._values import ChildRecord, ClaimedJob, JobRecord, JobState
from undercroft.queue.sqlite._base import SqliteBase
from undercroft.queue.sqlite._ending import delete_jobs, doom
from undercroft.queue.sqlite._rows import RECORD, Flag, lock_of, record_of
from undercroft.queue.sqlite._step import Step

_UNFINISHED = ("waiting", "delayed", "blocked", "active", "parked")


class OneJob(SqliteBase):
    """The engine's methods for one job."""

    async def get(self, job_id: str, *, queue: str | None = None) -> JobRecord | None:
        row = await self._read(lambda db: db.execute(GET, (job_id, queue)).fetchone())
        return record_of(row, now=self.time()) if row else None

    async def children(self, job_id: str, *, queue: str | None = None) -> list[ChildRecord]:
        values = (job_id, queue, self.time())
        rows = await self._read(lambda db: db.execute(CHILDREN, values).fetchall())
        return [
            ChildRecord(
                id=id_,
                queue=its_queue,
                state=None if state is None or state == "removed" else JobState(state),
                result=None if result is None else result.encode(),
                error=error,
            )
            for id_, its_queue, state, result, error in rows
        ]

    async def cancel(self, job_id: str, *, queue: str | None = None) -> bool:
        def run(step: Step, seq: int) -> bool:
            return doom(step, seq, "Cancelled", "cancelled", states=_UNFINISHED)

        return await self._with(job_id, queue, run)

    async def retry(self, job_id: str, *, queue: str | None = None) -> bool:
        return await self._move(job_id, queue, RETRY_ENDED)

    async def promote(self, job_id: str, *, queue: str | None = None) -> bool:
        return await self._move(job_id, queue, PROMOTE)

    async def reprioritise(self, job_id: str, priority: int, *, queue: str | None = None) -> bool:
        def run(step: Step, seq: int) -> bool:
            return step.db.execute(REPRIORITISE, (priority, seq)).rowcount == 1

        return await self._with(job_id, queue, run)

    async def remove(self, job_id: str, *, queue: str | None = None) -> bool:
        def run(step: Step, seq: int) -> bool:
            family = step.db.execute(FAMILY, (seq,)).fetchall()
            if any(state == "active" for _, state in family):
                return False
            delete_jobs(step, [member for member, _ in family])
            return True

        return await self._with(job_id, queue, run)

    async def set_progress(self, job: ClaimedJob, progress: bytes) -> bool:
        text, told = progress.decode(), msgspec.json.decode(progress)

        def run(step: Step) -> bool:
            is_current = step.db.execute(PROGRESS, (text, lock_of(job)[0], job.token)).rowcount == 1
            if is_current:
                step.tell("progress", job.queue, job.id, data=told)
            return is_current

        return await self._write(run)

    async def add_log(self, job: ClaimedJob, line: str, *, keep: int) -> None:
        seq, _ = lock_of(job)

        def run(step: Step) -> None:
            if step.db.execute(HAS_LOGS, (int(Flag.LOGS), seq, job.token)).rowcount == 1:
                step.db.execute(ADD_LOG, (seq, seq, line))
                step.db.execute(CUT_LOGS, (seq, seq, keep))

        await self._write(run)

    async def logs(self, job_id: str, *, queue: str | None = None) -> list[str]:
        rows = await self._read(lambda db: db.execute(LOGS, (job_id, queue)).fetchall())
        return [line for (line,) in rows]

    async def _with(self, job_id: str, queue: str | None, run: Callable[[Step, int], bool]) -> bool:
        def work(step: Step) -> bool:
            seq = _seq_of(step.db, job_id, queue)
            return seq is not None and run(step, seq)

        return await self._write(work)

    async def _move(self, job_id: str, queue: str | None, statement: str) -> bool:
        """Have a job wait at once."""

        def run(step: Step, seq: int) -> bool:
            prev, its_queue = step.db.execute("SELECT state, queue FROM jobs WHERE seq = ?", (seq,)).fetchone()
            if step.db.execute(statement, (step.now, step.now, seq)).rowcount == 0:
                return False
            step.has_news = True
            step.tell("waiting", its_queue, job_id, prev=prev)
            return True

        return await self._with(job_id, queue, run)


def _seq_of(db: sqlite3.Connection, job_id: str, queue: str | None) -> int | None:
    row = db.execute(f"SELECT seq FROM jobs {_NAMED}", (job_id, queue)).fetchone()
    return int(row[0]) if row else None


_NAMED = "WHERE id = ?1 AND (?2 IS NULL OR queue = ?2) LIMIT 1"

GET = f"SELECT {', '.join(RECORD)} FROM jobs {_NAMED}"

# What a child is now, or else what it came to.
CHILDREN = f"""
SELECT c.id, c.queue, iif(j.state = 'delayed' AND j.due_at <= ?3, 'waiting', coalesce(j.state, c.outcome)),
       iif(j.seq IS NULL, c.result, NULL), iif(j.seq IS NULL, c.error, NULL)
FROM children c LEFT JOIN jobs j ON j.id = c.id AND j.queue = c.queue AND j.state NOT IN ('completed', 'failed')
WHERE c.parent = (SELECT seq FROM jobs {_NAMED}) ORDER BY c.n"""

RETRY_ENDED = """
UPDATE jobs SET state = 'waiting', due_at = ?, since = ?,
    urgency = priority, failures = 0, crashes = 0,
    doom_type = NULL, doom = NULL, started_at = NULL, finished_at = NULL, result = NULL,
    progress = NULL, error_type = NULL, error = NULL, stack = NULL
WHERE seq = ? AND state IN ('completed', 'failed')"""

PROMOTE = """
UPDATE jobs SET state = 'waiting', due_at = ?1, since = ?2 WHERE seq = ?3 AND state = 'delayed' AND due_at > ?1"""

REPRIORITISE = """
UPDATE jobs SET priority = ?1, urgency = iif(doom_type IS NULL, ?1, urgency)
WHERE seq = ?2 AND state NOT IN ('completed', 'failed')"""

FAMILY = """
WITH RECURSIVE family (seq) AS (
    SELECT ? UNION SELECT j.seq FROM family f JOIN children c ON c.parent = f.seq
                                              JOIN jobs j ON j.id = c.id AND j.queue = c.queue)
SELECT seq, state FROM family JOIN jobs USING (seq) ORDER BY seq"""

PROGRESS = "UPDATE jobs SET progress = ? WHERE seq = ? AND token = ? AND state = 'active'"

HAS_LOGS = "UPDATE jobs SET flags = flags | ? WHERE seq = ? AND token = ? AND state = 'active'"
ADD_LOG = "INSERT INTO job_logs VALUES (?, (SELECT coalesce(max(n), 0) + 1 FROM job_logs WHERE job = ?), ?)"
CUT_LOGS = "DELETE FROM job_logs WHERE job = ? AND n <= (SELECT max(n) FROM job_logs WHERE job = ?) - ?"
LOGS = f"SELECT line FROM job_logs WHERE job = (SELECT seq FROM jobs {_NAMED}) ORDER BY n"
