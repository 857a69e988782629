CREATE TABLE spans (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,   -- order of writing, over all processes; never used again
    trace_id       TEXT NOT NULL,
    span_id        TEXT NOT NULL,
    request_id     TEXT,
    job_id         TEXT,
    name           TEXT NOT NULL,
    start_ns       INTEGER NOT NULL,                    -- nanoseconds since the Unix epoch
    end_ns         INTEGER NOT NULL,
    is_error       INTEGER NOT NULL,
    body           TEXT NOT NULL                        -- JSON of a FinishedSpan
);
CREATE INDEX spans_trace ON spans (trace_id);
CREATE INDEX spans_span ON spans (span_id);
CREATE INDEX spans_request ON spans (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX spans_job ON spans (job_id) WHERE job_id IS NOT NULL;

CREATE TABLE links (
    span   INTEGER NOT NULL,                            -- seq
    linked TEXT NOT NULL,                               -- the other trace's id
    PRIMARY KEY (span, linked)
) WITHOUT ROWID;
CREATE INDEX links_linked ON links (linked);
CREATE TRIGGER spans_deleted AFTER DELETE ON spans BEGIN
    DELETE FROM links WHERE span = OLD.seq;
END;

CREATE TABLE lines (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,       -- as in spans
    trace_id   TEXT,
    span_id    TEXT,
    request_id TEXT,
    job_id     TEXT,
    level      INTEGER NOT NULL,                        -- the standard library's number
    at_ms      INTEGER NOT NULL,                        -- milliseconds since the Unix epoch
    body       TEXT NOT NULL                            -- the JSON line
);
CREATE INDEX lines_trace ON lines (trace_id) WHERE trace_id IS NOT NULL;
CREATE INDEX lines_request ON lines (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX lines_job ON lines (job_id) WHERE job_id IS NOT NULL;
