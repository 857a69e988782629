-- From version 1, whose jobs are kept as they were: a day when completed, a week when failed.
DROP INDEX jobs_ready;
DROP INDEX jobs_delayed;
DROP INDEX jobs_held;
DROP INDEX jobs_finished;
ALTER TABLE jobs RENAME TO jobs_1;
CREATE TABLE jobs (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of enqueueing; never used twice, so that it fences
    id          TEXT NOT NULL,
    queue       TEXT NOT NULL,
    name        TEXT NOT NULL,
    state       TEXT NOT NULL,                -- see JobState
    priority    INTEGER NOT NULL,             -- 0 first
    urgency     INTEGER NOT NULL,             -- order in line: the priority, -1 of a doomed job
    position    INTEGER NOT NULL,             -- order within that: seq, or -seq of a lifo job
    due_at      REAL NOT NULL,                -- instants are Unix seconds
    token       INTEGER NOT NULL DEFAULT 0,   -- grows with every claim; fences off old ones
    flags       INTEGER NOT NULL DEFAULT 0,   -- see _rows.Flag
    keep        INTEGER,                      -- keeps.id; NULL: for ever
    since       REAL NOT NULL,                -- came into its state
    worker_id   TEXT,
    lease_until REAL,
    started_at  REAL,
    finished_at REAL,
    failures    INTEGER NOT NULL DEFAULT 0,
    crashes     INTEGER NOT NULL DEFAULT 0,
    pending     INTEGER NOT NULL DEFAULT 0,   -- children that are not finished
    attempts    INTEGER NOT NULL,             -- runs allowed
    backoff     TEXT,                         -- JSON; NULL: a function of the job's definition
    timeout_s   REAL,
    created_at  REAL NOT NULL,
    request_id  TEXT,
    traceparent TEXT,
    tags        TEXT,                         -- JSON list
    on_failure  TEXT,
    parent_id   TEXT,
    parent_queue TEXT,
    deduplication_key TEXT,
    doom_type   TEXT,                         -- of an active job: its holder is to be told
    doom        TEXT,
    data        TEXT NOT NULL,                -- JSON
    progress    TEXT,                         -- JSON
    result      TEXT,                         -- JSON
    error_type  TEXT,
    error       TEXT,
    stack       TEXT
);
CREATE TABLE keeps (id INTEGER PRIMARY KEY, limits TEXT NOT NULL UNIQUE);  -- JSON: see _rows.Limits
INSERT INTO keeps (id, limits) VALUES (1, '[86400.0,null,604800.0,null]');
INSERT INTO jobs (seq, id, queue, name, state, priority, urgency, position, due_at, token, keep, since, worker_id, lease_until,
                  started_at, finished_at, failures, crashes, attempts, backoff, timeout_s, created_at, request_id,
                  traceparent, data, result, error_type, error)
SELECT seq, id, queue, name, state, priority, priority, seq, due_at, token, 1, coalesce(finished_at, due_at), worker_id,
       lease_until, started_at, finished_at, failures, crashes, attempts, backoff, timeout_s, created_at, request_id,
       traceparent, data, result, error_type, error
FROM jobs_1;
DROP TABLE jobs_1;
CREATE UNIQUE INDEX jobs_id ON jobs (id, queue);
CREATE INDEX jobs_waiting ON jobs (queue, urgency, position, name, due_at) WHERE state = 'waiting';
CREATE INDEX jobs_delayed ON jobs (queue, due_at) WHERE state = 'delayed';
CREATE INDEX jobs_parked ON jobs (queue, name) WHERE state = 'parked';
CREATE INDEX jobs_blocked ON jobs (queue) WHERE state = 'blocked';
CREATE INDEX jobs_active ON jobs (queue) WHERE state = 'active';
CREATE INDEX jobs_finished ON jobs (queue, state, finished_at) WHERE state IN ('completed', 'failed');

CREATE TABLE queues (
    name      TEXT PRIMARY KEY,
    is_paused INTEGER NOT NULL DEFAULT 0,
    max_active INTEGER,
    rate_max  INTEGER,
    rate_s    REAL,
    window_ends_at REAL NOT NULL DEFAULT 0,   -- the rate limit's present window
    window_runs INTEGER NOT NULL DEFAULT 0    -- begun in it
) WITHOUT ROWID;
INSERT INTO queues (name) SELECT DISTINCT queue FROM jobs;

CREATE TABLE deduplications (
    queue TEXT NOT NULL,
    key   TEXT NOT NULL,
    job   TEXT NOT NULL,                      -- id of the job that holds the key
    until REAL,                               -- NULL: its end or removal
    PRIMARY KEY (queue, key)
) WITHOUT ROWID;
CREATE INDEX deduplications_until ON deduplications (until) WHERE until IS NOT NULL;

CREATE TABLE children (
    parent  INTEGER NOT NULL,                 -- jobs.seq
    n       INTEGER NOT NULL,                 -- order in which they were given
    id      TEXT NOT NULL,
    queue   TEXT NOT NULL,
    on_failure TEXT NOT NULL,                 -- see OnChildFailure
    outcome TEXT,                             -- completed, failed, removed; NULL: the parent waits for it
    result  TEXT,
    error   TEXT,
    PRIMARY KEY (parent, n)
) WITHOUT ROWID;
CREATE INDEX children_id ON children (id, queue);

CREATE TABLE job_logs (
    job  INTEGER NOT NULL,                    -- jobs.seq
    n    INTEGER NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (job, n)
) WITHOUT ROWID;
CREATE TRIGGER jobs_deleted AFTER DELETE ON jobs WHEN OLD.flags & 48 BEGIN
    DELETE FROM job_logs WHERE job = OLD.seq;
    DELETE FROM children WHERE parent = OLD.seq;
END;

CREATE TABLE minutes (
    queue     TEXT NOT NULL,
    at        INTEGER NOT NULL,               -- its beginning
    completed INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    PRIMARY KEY (queue, at)
) WITHOUT ROWID;

CREATE TABLE listeners (id TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    queue  TEXT NOT NULL,
    type   TEXT NOT NULL,
    job_id TEXT,
    at     REAL NOT NULL,
    fields TEXT NOT NULL                      -- JSON
);

CREATE TABLE ledger (
    queue   TEXT NOT NULL,
    key     TEXT NOT NULL,
    version INTEGER NOT NULL,
    data    TEXT NOT NULL,
    PRIMARY KEY (queue, key)
) WITHOUT ROWID;
