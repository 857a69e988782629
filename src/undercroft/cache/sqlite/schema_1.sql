-- Entries are a plain table and an index, not WITHOUT ROWID: values may be large. Each write gives its row a new, larger
-- rowid, so that the lowest is the one written longest ago.
CREATE TABLE entries (
    space TEXT NOT NULL,
    key TEXT NOT NULL,
    expires_at REAL NOT NULL,     -- epoch seconds; infinity: never
    data BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX entries_key ON entries (space, key);
CREATE INDEX entries_expiry ON entries (expires_at);

CREATE TABLE leases (
    space TEXT NOT NULL,
    key TEXT NOT NULL,
    token TEXT NOT NULL,
    expires_at REAL NOT NULL,
    PRIMARY KEY (space, key)
) WITHOUT ROWID, STRICT;
CREATE INDEX leases_expiry ON leases (expires_at);

CREATE TABLE tags (
    space TEXT NOT NULL,
    tag TEXT NOT NULL,
    version TEXT NOT NULL,        -- never used twice
    expires_at REAL NOT NULL,
    PRIMARY KEY (space, tag)
) WITHOUT ROWID, STRICT;
CREATE INDEX tags_expiry ON tags (expires_at);
