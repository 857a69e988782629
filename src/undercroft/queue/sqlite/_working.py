"""What workers do to the jobs of the SQLite engine: claim, beat, release, rescue and park."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from undercroft.queue._values import Beat, Claim, ClaimedJob, Rescued
from undercroft.queue.sqlite._rows import ClaimRow, claim_rows, lock_of
from undercroft.queue.sqlite._step import Step, as_json

_DUE_AT_ONCE = 1000


class Who(NamedTuple):
    """For whom jobs are claimed."""

    names: str
    """JSON list of the jobs it knows."""
    worker_id: str
    lease_s: float


def claim_jobs(step: Step, queues: Sequence[str], who: Who, limit: int) -> Claim:
    """Hand out up to `limit` jobs, from the first queue as long as it has some."""
    found: list[ClaimedJob] = []
    next_due: list[float] = []
    for queue in queues:
        taken, next_at = _claim_from(step, queue, who, limit - len(found))
        found += taken
        if next_at is not None:
            next_due.append(next_at)
    return Claim(jobs=tuple(found), next_due_at=min(next_due, default=None))


def _claim_from(step: Step, queue: str, who: Who, limit: int) -> tuple[list[ClaimedJob], float | None]:
    row = step.db.execute(LOOK, (queue,)).fetchone()
    if row is None or row[0]:  # nothing was ever added, or paused
        return [], None
    _, max_active, rate_max, rate_s, window_ends_at, window_runs, next_due_at, has_parked = row
    if next_due_at is not None and next_due_at <= step.now:
        next_due_at = put_due(step, queue)
    if max_active is not None:
        (active,) = step.db.execute(
            "SELECT count(*) FROM jobs WHERE state = 'active' AND queue = ?", (queue,)
        ).fetchone()
        limit = min(limit, max_active - active)
    if rate_max is None:
        return _take(step, queue, who, limit, has_parked), next_due_at
    if step.now >= window_ends_at:
        window_ends_at, window_runs = step.now + rate_s, 0
    taken = _take(step, queue, who, min(limit, rate_max - window_runs), has_parked)
    window_runs += len(taken)
    if taken:
        step.db.execute(COUNT_RUNS, (window_ends_at, window_runs, queue))
    return taken, next_due_at if window_runs < rate_max else window_ends_at


def put_due(step: Step, queue: str) -> float | None:
    """Put delayed jobs that are due in line, a bounded number; return when the next one is due."""
    rows = step.db.execute(PUT_DUE, (queue, step.now, _DUE_AT_ONCE)).fetchall() if step.is_heard else None
    if rows is None:
        step.db.execute(PUT_DUE.partition("RETURNING")[0], (queue, step.now, _DUE_AT_ONCE))
    for (job_id,) in rows or ():
        step.tell("waiting", queue, job_id, prev="delayed")
    next_due_at: float | None = step.db.execute(NEXT_DUE, (queue,)).fetchone()[0]
    return next_due_at


def _take(step: Step, queue: str, who: Who, limit: int, has_parked: bool) -> list[ClaimedJob]:
    if limit <= 0:
        return []
    if has_parked and step.db.execute(PARKED_BUT_KNOWN, (queue, who.names)).fetchone():
        (found,) = step.db.execute(WAITING_OR_PARKED, (queue, who.names, limit)).fetchone()
    else:
        (found,) = step.db.execute(WAITING, (queue, who.names, limit)).fetchone()
    rows: list[ClaimRow] = claim_rows.decode(found)
    if not rows:
        return []
    seqs = as_json([row.seq for row in rows])
    step.db.execute(MARK, (who.worker_id, step.now + who.lease_s, step.now, step.now, seqs))
    if step.is_heard:
        for row in rows:
            step.tell("active", queue, row.id, prev="waiting")
    return [row.claimed() for row in rows]


def beat(db: sqlite3.Connection, jobs: Sequence[ClaimedJob], *, lease_until: float) -> Beat:
    """Push the leases of jobs; tell which are lost and which were cancelled."""
    if not jobs:
        return Beat()
    keys = [(lock_of(job)[0], job.token) for job in jobs]
    claims = as_json(keys)
    db.execute(EXTEND, (lease_until, claims))
    is_doomed = {(seq, token): doomed for seq, token, doomed in db.execute(HELD, (claims,)).fetchall()}
    return Beat(
        lost=tuple(job for job, key in zip(jobs, keys, strict=True) if key not in is_doomed),
        cancelled=tuple(job for job, key in zip(jobs, keys, strict=True) if is_doomed.get(key) and job.doom is None),
    )


def release(step: Step, jobs: Sequence[ClaimedJob]) -> None:
    """Put jobs back in line, where they were."""
    for job in jobs:
        values = (step.now, step.now, lock_of(job)[0], job.token)
        if step.db.execute(RELEASE, values).rowcount == 1:
            step.has_news = True
            step.tell("waiting", job.queue, job.id, prev="active")


def rescue(
    step: Step, *, queues: Sequence[str], dead: Sequence[str], max_crashes: int, again_after_s: float
) -> list[Rescued]:
    """Take jobs back from workers that are dead or whose lease ran out."""
    rescued: list[Rescued] = []
    lost = step.db.execute(LOST, (as_json(queues), step.now, as_json(dead))).fetchall()
    for seq, job_id, name, queue, worker_id, crashes, doom_type in lost:
        is_quarantined = crashes + 1 >= max_crashes and doom_type is None
        doom = ("WorkerDied", f"quarantined: {crashes + 1} workers died or hung while running it")
        is_doomed = is_quarantined or doom_type is not None
        state = "delayed" if crashes >= 1 and not is_doomed else "waiting"
        due_at = step.now + (again_after_s if crashes >= 1 else 0)
        step.db.execute(TAKE_BACK, (state, due_at, step.now, *(doom if is_quarantined else (None, None)), seq))
        step.has_news = True
        step.tell("stalled", queue, job_id)
        step.tell(state, queue, job_id, prev="active")
        rescued.append(Rescued(id=job_id, name=name, queue=queue, worker_id=worker_id, is_quarantined=is_quarantined))
    return rescued


def park_unknown(step: Step, *, queues: Sequence[str], names: Sequence[str]) -> list[tuple[str, str]]:
    """Park what nobody here knows, and have what is known wait again."""
    known = as_json(names)
    parked: list[tuple[str, str]] = []
    for queue in queues:
        put_due(step, queue)
        if step.db.execute(UNPARK, (step.now, queue, known)).rowcount:
            step.has_news = True
        parked += step.db.execute(PARK, (step.now, queue, known)).fetchall()
    return parked


def has_to_park(db: sqlite3.Connection, *, queues: Sequence[str], names: Sequence[str], now: float) -> bool:
    """Tell whether `park_unknown` may find something."""
    due = (db.execute(NEXT_DUE, (queue,)).fetchone()[0] for queue in queues)
    if any(at is not None and at <= now for at in due):
        return True
    known = as_json(names)
    looks = ((statement, queue) for queue in queues for statement in (UNKNOWN, PARKED_BUT_KNOWN))
    return any(db.execute(statement, (queue, known)).fetchone() for statement, queue in looks)


LOOK = """
SELECT is_paused, max_active, rate_max, rate_s, window_ends_at, window_runs,
       (SELECT min(due_at) FROM jobs WHERE state = 'delayed' AND queue = q.name),
       EXISTS (SELECT 1 FROM jobs WHERE state = 'parked' AND queue = q.name)
FROM queues q WHERE name = ?"""

NEXT_DUE = "SELECT min(due_at) FROM jobs WHERE state = 'delayed' AND queue = ?"

COUNT_RUNS = "UPDATE queues SET window_ends_at = ?, window_runs = ? WHERE name = ?"

PUT_DUE = """
UPDATE jobs SET state = 'waiting', since = due_at WHERE seq IN (
    SELECT seq FROM jobs WHERE state = 'delayed' AND queue = ? AND due_at <= ? ORDER BY due_at LIMIT ?)
RETURNING id"""

UNPARK = """
UPDATE jobs SET state = 'waiting', since = ?
WHERE state = 'parked' AND queue = ? AND name IN (SELECT value FROM json_each(?))"""

_CLAIMED = ", ".join(ClaimRow.__struct_fields__)

_CLAIM = f"""
SELECT json_group_array(json_array({_CLAIMED})) FROM (
    SELECT {_CLAIMED} FROM jobs WHERE {{}} ORDER BY urgency, position LIMIT ?3)"""
_LINE = """state = '{}' AND queue = ?1 AND name IN (SELECT value FROM json_each(?2))"""
WAITING = _CLAIM.format(_LINE.format("waiting"))
_FIRST = "SELECT * FROM (SELECT seq FROM jobs WHERE {} ORDER BY urgency, position LIMIT ?3)"
WAITING_OR_PARKED = _CLAIM.format(
    f"seq IN ({' UNION ALL '.join(_FIRST.format(_LINE.format(state)) for state in ('waiting', 'parked'))})"
)

MARK = """
UPDATE jobs SET state = 'active', token = token + 1, worker_id = ?, lease_until = ?, started_at = ?, since = ?
WHERE seq IN (SELECT value FROM json_each(?))"""

EXTEND = """
UPDATE jobs SET lease_until = ? FROM json_each(?) v
WHERE seq = json_extract(v.value, '$[0]') AND token = json_extract(v.value, '$[1]') AND state = 'active'"""

HELD = """
SELECT seq, token, doom_type IS NOT NULL FROM json_each(?) v CROSS JOIN jobs
WHERE seq = json_extract(v.value, '$[0]') AND token = json_extract(v.value, '$[1]') AND state = 'active'"""

RELEASE = """
UPDATE jobs SET state = 'waiting', due_at = min(due_at, ?), since = ?, worker_id = NULL, lease_until = NULL
WHERE seq = ? AND token = ? AND state = 'active'"""

HOLDERS = """
SELECT DISTINCT worker_id FROM jobs WHERE state = 'active' AND queue IN (SELECT value FROM json_each(?))"""

ALL_HOLDERS = "SELECT DISTINCT worker_id FROM jobs WHERE state = 'active'"

LOST = """
SELECT seq, id, name, queue, worker_id, crashes, doom_type FROM jobs
WHERE state = 'active' AND queue IN (SELECT value FROM json_each(?))
      AND (lease_until < ? OR worker_id IN (SELECT value FROM json_each(?)))"""

TAKE_BACK = """
UPDATE jobs SET crashes = crashes + 1, state = ?1, due_at = ?2, since = ?3, doom_type = coalesce(doom_type, ?4),
                doom = coalesce(doom, ?5), urgency = iif(coalesce(doom_type, ?4) IS NULL, urgency, -1),
                worker_id = NULL, lease_until = NULL
WHERE seq = ?6"""

# Only the head of the line is looked at, so that a long line costs no more than a short one: the rest is met later.
_HEAD = """
SELECT {what} FROM (
    SELECT seq, name FROM jobs WHERE state = 'waiting' AND queue = ? ORDER BY urgency, position LIMIT {limit})
WHERE name NOT IN (SELECT value FROM json_each(?))"""
UNKNOWN = _HEAD.format(what="1", limit=2000) + " LIMIT 1"

PARKED_BUT_KNOWN = """
SELECT 1 FROM jobs WHERE state = 'parked' AND queue = ? AND name IN (SELECT value FROM json_each(?)) LIMIT 1"""

PARK = f"""
UPDATE jobs SET state = 'parked', since = ? WHERE seq IN ({_HEAD.format(what="seq", limit=10_000)})
RETURNING id, name"""
