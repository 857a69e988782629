"""How a run ends in the SQLite engine: outcomes, parents that waited for them, and jobs that are deleted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from undercroft.queue._values import ClaimedJob, Completed, Failed, OnChildFailure, Postponed
from undercroft.queue.sqlite._rows import Flag, lock_of
from undercroft.queue.sqlite._step import Step, as_json

Outcome = Completed | Failed | Postponed
_CARE = int(Flag.CHILD | Flag.UNIQUE | Flag.DROP_COMPLETED)


def record_all(step: Step, runs: Sequence[tuple[ClaimedJob, Outcome]]) -> list[bool]:
    """Record how runs ended; say of each whether it was recorded."""
    plain = [n for n, (job, outcome) in enumerate(runs) if _is_plain(job, outcome)]
    recorded: dict[int, bool] = {}
    if len(plain) > 1 and _complete_all_or_none(step, [runs[n] for n in plain]):
        recorded = dict.fromkeys(plain, True)
    return [recorded.get(n) or _record(step, job, outcome) for n, (job, outcome) in enumerate(runs)]


def _complete_all_or_none(step: Step, runs: Sequence[tuple[ClaimedJob, Outcome]]) -> bool:
    step.db.execute("SAVEPOINT many")
    is_done = _complete_many(step, runs)
    if not is_done:
        step.db.execute("ROLLBACK TO many")
    step.db.execute("RELEASE many")
    return is_done


def _is_plain(job: ClaimedJob, outcome: Outcome) -> bool:
    return isinstance(outcome, Completed) and lock_of(job)[1] & _CARE in (0, Flag.DROP_COMPLETED)


def _complete_many(step: Step, runs: Sequence[tuple[ClaimedJob, Outcome]]) -> bool:
    """Complete jobs that nobody else is concerned with, in one statement for those that are kept and one for those
    that are not. `False` when not all were as expected: what was done is to be undone, and each looked at by itself."""
    kept: list[tuple[int, int, str]] = []
    dropped: list[tuple[int, int]] = []
    ids: dict[str, list[str]] = {}
    for job, outcome in runs:
        seq, flags = lock_of(job)
        if flags & Flag.DROP_COMPLETED:
            dropped.append((seq, job.token))
        elif isinstance(outcome, Completed):
            kept.append((seq, job.token, outcome.result.decode()))
        ids.setdefault(job.queue, []).append(job.id)
    if kept and step.db.execute(COMPLETE_MANY, (step.now, step.now, as_json(kept))).rowcount != len(kept):
        return False
    if dropped and step.db.execute(DROP_MANY, (as_json(dropped),)).rowcount != len(dropped):
        return False
    step.has_news = True
    for queue, some in ids.items():
        step.count_end(queue, "completed", some)
    if step.is_heard:
        for job, outcome in runs:
            _tell_end(step, job, outcome)
    return True


def _record(step: Step, job: ClaimedJob, outcome: Outcome) -> bool:
    seq, _ = lock_of(job)
    row = step.db.execute(CURRENT, (seq, job.token)).fetchone()
    if row is None:
        return False
    (flags,) = row
    step.has_news = True
    counted = 0 if job.doom else 1  # a doomed job did not run
    if isinstance(outcome, Completed):
        _end(step, job, flags, "completed", Flag.DROP_COMPLETED, (outcome.result.decode(), None, None, None, 0))
    elif isinstance(outcome, Postponed):
        _give_back(step, job, outcome.until, POSTPONE, ())
    elif outcome.retry_at is not None:
        values = (counted, outcome.error_type, outcome.error, outcome.stack or None)
        _give_back(step, job, outcome.retry_at, RETRY, values)
    else:
        ended: _Values = (None, outcome.error_type, outcome.error, outcome.stack or None, counted)
        _end(step, job, flags, "failed", Flag.DROP_FAILED, ended)
    _tell_end(step, job, outcome)
    return True


_Values = tuple[str | None, str | None, str | None, str | None, int]
"""Result, error's type, error, stack, and what is added to the failures."""


def _end(step: Step, job: ClaimedJob, flags: int, state: str, drop: Flag, values: _Values) -> None:
    seq, _ = lock_of(job)
    if flags & Flag.UNIQUE:
        step.db.execute(FREE_ENDED, (job.queue, job.id, seq))
    if flags & drop:
        step.db.execute("DELETE FROM jobs WHERE seq = ?", (seq,))
    else:
        step.db.execute(END, (state, *values, step.now, step.now, seq))
    step.count_end(job.queue, state, [job.id])
    if flags & Flag.CHILD:
        result, _, error, *_ = values
        settle_child(step, job.id, job.queue, state, result=result, error=error)


def _give_back(step: Step, job: ClaimedJob, due_at: float, statement: str, values: tuple[object, ...]) -> None:
    seq, _ = lock_of(job)
    step.db.execute(statement, (*values, due_at, due_at, step.now, step.now, seq))


def _tell_end(step: Step, job: ClaimedJob, outcome: Outcome) -> None:
    if not step.is_heard:
        return
    if isinstance(outcome, Completed):
        step.tell("completed", job.queue, job.id, prev="active", returnvalue=outcome.result.decode())
        return
    due_at = outcome.until if isinstance(outcome, Postponed) else outcome.retry_at
    if due_at is None and isinstance(outcome, Failed):
        step.tell("failed", job.queue, job.id, prev="active", failedReason=outcome.error)
    elif due_at is not None and due_at > step.now:
        step.tell("delayed", job.queue, job.id, prev="active", delay=int(due_at * 1000))
    else:
        step.tell("waiting", job.queue, job.id, prev="active")


# --- Parents --------------------------------------------------------------------------------------------------------


def settle_child(
    step: Step, job_id: str, queue: str, outcome: str, *, result: str | None = None, error: str | None = None
) -> None:
    """Tell the parents of a job that it has ended or is gone."""
    rows = step.db.execute(PARENTS, (job_id, queue)).fetchall()
    for parent, on_failure, before in rows:
        if before is None or outcome != "removed":
            step.db.execute(SETTLE, (outcome, result, error, parent, job_id, queue))
        if before is not None:
            continue  # it ran again: its parent does not wait for that
        step.db.execute("UPDATE jobs SET pending = pending - 1 WHERE seq = ?", (parent,))
        if outcome == "failed" and on_failure == OnChildFailure.FAIL:
            doom(step, parent, "ChildFailed", f"child {job_id} failed: {error}", states=("blocked",))
        else:
            start_parent(step, parent, due_at=step.now)


def start_parent(step: Step, parent: int, *, due_at: float) -> None:
    """Have a parent wait for its run, which could not begin before `due_at`, when it waits for no child any more."""
    rows = step.db.execute(UNBLOCK, (step.now, due_at, step.now, parent)).fetchall()
    for job_id, queue, state in rows:
        step.has_news = True
        step.tell(state, queue, job_id, prev="waiting-children")


def doom(step: Step, seq: int, error_type: str, error: str, *, states: Iterable[str]) -> bool:
    """Have a job in one of these states handed out at once, not to run but to fail; an active one stays active."""
    rows = step.db.execute(DOOM, (error_type, error, step.now, seq, as_json(states))).fetchall()
    for job_id, queue, state in rows:
        step.has_news = True
        if state == "waiting":
            step.tell("waiting", queue, job_id)
    return bool(rows)


# --- Deletion -------------------------------------------------------------------------------------------------------


def delete_jobs(step: Step, seqs: Sequence[int]) -> list[str]:
    """Delete jobs because somebody asked for it: their keys are free, their parents wait no longer. Return the ids."""
    chosen = as_json(seqs)
    rows = step.db.execute(CHOSEN, (chosen,)).fetchall()
    step.db.execute(FREE_REMOVED, (chosen,))
    step.db.execute("DELETE FROM jobs WHERE seq IN (SELECT value FROM json_each(?))", (chosen,))
    for job_id, queue, state, flags in rows:
        step.ended.append(job_id)
        step.tell("removed", queue, job_id, prev=state)
        if flags & Flag.CHILD:
            settle_child(step, job_id, queue, "removed")
    return [job_id for job_id, *_ in rows]


COMPLETE_MANY = f"""
UPDATE jobs SET state = 'completed', result = json_extract(v.value, '$[2]'), finished_at = ?, since = ?,
                doom_type = NULL, doom = NULL, worker_id = NULL, lease_until = NULL
FROM json_each(?) v
WHERE seq = json_extract(v.value, '$[0]') AND token = json_extract(v.value, '$[1]') AND state = 'active'
      AND flags & {_CARE} = 0"""

DROP_MANY = f"""
DELETE FROM jobs WHERE seq IN (
    SELECT j.seq FROM json_each(?) v CROSS JOIN jobs j
    WHERE j.seq = json_extract(v.value, '$[0]') AND j.token = json_extract(v.value, '$[1]') AND j.state = 'active'
          AND j.flags & {_CARE} = {int(Flag.DROP_COMPLETED)})"""

CURRENT = "SELECT flags FROM jobs WHERE seq = ? AND token = ? AND state = 'active'"

END = """
UPDATE jobs SET state = ?, result = ?, error_type = coalesce(?, error_type), error = coalesce(?, error),
                stack = coalesce(?, stack), failures = failures + ?, finished_at = ?, since = ?,
                doom_type = NULL, doom = NULL, worker_id = NULL, lease_until = NULL
WHERE seq = ?"""

# A job that was cancelled meanwhile is doomed: it waits at once.
_BACK = """due_at = ?, state = CASE WHEN doom_type IS NULL AND ? > ? THEN 'delayed' ELSE 'waiting' END,
           since = ?, worker_id = NULL, lease_until = NULL WHERE seq = ?"""
POSTPONE = f"UPDATE jobs SET {_BACK}"
RETRY = f"UPDATE jobs SET failures = failures + ?, error_type = ?, error = ?, stack = ?, {_BACK}"

FREE_ENDED = """
DELETE FROM deduplications WHERE queue = ?1 AND job = ?2 AND until IS NULL
    AND key = (SELECT deduplication_key FROM jobs WHERE seq = ?3)"""
FREE_REMOVED = """
DELETE FROM deduplications WHERE (queue, key, job) IN (
    SELECT queue, deduplication_key, id FROM jobs
    WHERE seq IN (SELECT value FROM json_each(?)) AND deduplication_key IS NOT NULL)"""

PARENTS = "SELECT parent, on_failure, outcome FROM children WHERE id = ? AND queue = ?"
SETTLE = "UPDATE children SET outcome = ?, result = ?, error = ? WHERE parent = ? AND id = ? AND queue = ?"
UNBLOCK = """
UPDATE jobs SET state = CASE WHEN due_at > ? THEN 'delayed' ELSE 'waiting' END, due_at = max(due_at, ?), since = ?
WHERE seq = ? AND state = 'blocked' AND pending = 0
RETURNING id, queue, state"""

DOOM = """
UPDATE jobs SET doom_type = ?, doom = ?, state = CASE state WHEN 'active' THEN 'active' ELSE 'waiting' END,
                urgency = -1,
                since = CASE state WHEN 'active' THEN since ELSE ? END
WHERE seq = ? AND doom_type IS NULL AND state IN (SELECT value FROM json_each(?))
RETURNING id, queue, state"""

CHOSEN = "SELECT id, queue, state, flags FROM jobs WHERE seq IN (SELECT value FROM json_each(?))"
