CREATE TABLE entries (
    sequence   INTEGER PRIMARY KEY,   -- from 1, without gaps
    body       TEXT NOT NULL,         -- JSON, see Body; what is hashed
    hash       TEXT NOT NULL,         -- hex, of the hash before and body
    -- Read from the body and never stored, so that nobody can hide an entry from a search by changing a column.
    at_us      INTEGER GENERATED ALWAYS AS (json_extract(body, '$.at_us')) VIRTUAL,
    action     TEXT GENERATED ALWAYS AS (json_extract(body, '$.action')) VIRTUAL,
    resource   TEXT GENERATED ALWAYS AS (json_extract(body, '$.resource')) VIRTUAL,
    actor      TEXT GENERATED ALWAYS AS (json_extract(body, '$.actor')) VIRTUAL,
    tenant     TEXT GENERATED ALWAYS AS (json_extract(body, '$.tenant')) VIRTUAL,
    outcome    TEXT GENERATED ALWAYS AS (json_extract(body, '$.outcome')) VIRTUAL,
    request_id TEXT GENERATED ALWAYS AS (json_extract(body, '$.request_id')) VIRTUAL
);
CREATE INDEX entries_at ON entries (at_us);
CREATE INDEX entries_action ON entries (action, sequence);
CREATE INDEX entries_resource ON entries (resource, sequence);
CREATE INDEX entries_actor ON entries (actor, sequence);
CREATE INDEX entries_tenant ON entries (tenant, sequence);
CREATE INDEX entries_request ON entries (request_id) WHERE request_id IS NOT NULL;
CREATE TRIGGER entries_are_not_changed BEFORE UPDATE ON entries
BEGIN
    SELECT RAISE(ABORT, 'audit entries are not changed');
END;
CREATE TRIGGER entries_are_not_removed BEFORE DELETE ON entries
BEGIN
    SELECT RAISE(ABORT, 'audit entries are not removed');
END;
