CREATE TABLE jobs (
    seq         INTEGER PRIMARY KEY,          -- order of enqueueing
    id          TEXT NOT NULL UNIQUE,
    name        TEXT NOT NULL,
    queue       TEXT NOT NULL,
    state       TEXT NOT NULL,                -- see JobState
    data        TEXT NOT NULL,                -- JSON
    priority    INTEGER NOT NULL,             -- 0 first
    due_at      REAL NOT NULL,                -- instants are Unix seconds
    token       INTEGER NOT NULL DEFAULT 0,   -- grows with every claim; fences off old ones
    failures    INTEGER NOT NULL DEFAULT 0,
    crashes     INTEGER NOT NULL DEFAULT 0,
    attempts    INTEGER NOT NULL,             -- runs allowed
    backoff     TEXT,                         -- JSON; NULL: a function of the job's definition
    timeout_s   REAL,
    worker_id   TEXT,
    lease_until REAL,
    result      TEXT,                         -- JSON
    error_type  TEXT,
    error       TEXT,
    request_id  TEXT,
    traceparent TEXT,
    created_at  REAL NOT NULL,
    started_at  REAL,
    finished_at REAL
);
CREATE INDEX jobs_ready ON jobs (queue, priority, seq) WHERE state IN ('waiting', 'parked');
CREATE INDEX jobs_delayed ON jobs (due_at) WHERE state = 'delayed';
CREATE INDEX jobs_held ON jobs (worker_id, lease_until) WHERE state = 'active';
CREATE INDEX jobs_finished ON jobs (state, finished_at) WHERE state IN ('completed', 'failed');
