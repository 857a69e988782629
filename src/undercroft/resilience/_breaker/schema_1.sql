CREATE TABLE breakers (
    name    TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,                 -- grows by 1 with each change
    data    BLOB NOT NULL                     -- JSON, see Standing
) WITHOUT ROWID;
