"""The SQLite engine's statements, in the order of a job's life.

`{queues}`, `{names}` and `{workers}` stand for as many question marks as there are values.
"""

from __future__ import annotations

CLAIMED = """id, name, queue, data, token, failures, crashes, attempts, backoff, timeout_s, created_at, request_id,
traceparent"""

ADD = """
INSERT INTO jobs (id, name, queue, state, data, priority, due_at, attempts, backoff, timeout_s, created_at, request_id,
                  traceparent)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""

CLAIM = f"""
UPDATE jobs SET state = 'active', token = token + 1, worker_id = ?, lease_until = ?, started_at = ?
WHERE seq IN (
    SELECT seq FROM jobs
    WHERE state IN ('waiting', 'parked') AND queue IN ({{queues}}) AND name IN ({{names}})
    ORDER BY priority, seq LIMIT ?)
RETURNING {CLAIMED}, priority, seq"""

NEXT_DUE = "SELECT min(due_at) FROM jobs WHERE state = 'delayed' AND queue IN ({queues})"

UNKNOWN = "SELECT 1 FROM jobs WHERE state = 'waiting' AND queue IN ({queues}) AND name NOT IN ({names}) LIMIT 1"

PARK = """
UPDATE jobs SET state = 'parked' WHERE state = 'waiting' AND queue IN ({queues}) AND name NOT IN ({names})
RETURNING id, name"""

HELD = "WHERE id = ? AND token = ? AND state = 'active'"

COMPLETE = f"""
UPDATE jobs SET state = 'completed', result = ?, error_type = NULL, error = NULL, finished_at = ?, lease_until = NULL
{HELD}"""

FAIL = f"""
UPDATE jobs SET state = 'failed', failures = failures + 1, error_type = ?, error = ?, finished_at = ?,
                lease_until = NULL
{HELD}"""

RETRY = f"""
UPDATE jobs SET state = ?, due_at = ?, failures = failures + 1, error_type = ?, error = ?, worker_id = NULL,
                lease_until = NULL
{HELD}"""

EXTEND = f"UPDATE jobs SET lease_until = ? {HELD}"

RELEASE = f"UPDATE jobs SET state = 'waiting', worker_id = NULL, lease_until = NULL {HELD}"

HOLDERS = "SELECT DISTINCT worker_id FROM jobs WHERE state = 'active'"

EXPIRED = "SELECT 1 FROM jobs WHERE state = 'active' AND lease_until < ? LIMIT 1"

RESCUE = """
UPDATE jobs SET
    crashes = crashes + 1,
    state = CASE WHEN crashes + 1 >= ? THEN 'failed' WHEN crashes >= 1 THEN 'delayed' ELSE 'waiting' END,
    due_at = CASE WHEN crashes >= 1 THEN ? ELSE due_at END,
    finished_at = CASE WHEN crashes + 1 >= ? THEN ? END,
    error_type = CASE WHEN crashes + 1 >= ? THEN 'WorkerDied' ELSE error_type END,
    error = CASE WHEN crashes + 1 >= ? THEN 'quarantined: ' || (crashes + 1) || ' workers died or hung while running it'
                 ELSE error END,
    lease_until = NULL
WHERE state = 'active' AND (lease_until < ? OR worker_id IN ({workers}))
RETURNING id, name, worker_id, state"""

RECORD = (
    "id", "name", "queue", "state", "data", "priority", "failures", "crashes", "attempts", "worker_id", "result",
    "error_type", "error", "request_id", "traceparent", "created_at", "due_at", "started_at", "finished_at",
)  # fmt: skip

SELECT = f"SELECT {', '.join(RECORD)} FROM jobs"

FILTER = "WHERE (? IS NULL OR state = ?) AND (? IS NULL OR queue = ?) ORDER BY seq DESC LIMIT ?"

COUNT = "SELECT state, count(*) FROM jobs WHERE (? IS NULL OR queue = ?) GROUP BY state"

PRUNABLE = """
SELECT 1 FROM jobs
WHERE (state = 'completed' AND finished_at < ?) OR (state = 'failed' AND finished_at < ?) LIMIT 1"""

PRUNE = """
DELETE FROM jobs WHERE seq IN (
    SELECT seq FROM jobs
    WHERE (state = 'completed' AND finished_at < ?) OR (state = 'failed' AND finished_at < ?) LIMIT ?)"""
