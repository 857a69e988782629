CREATE TABLE locks (
    name TEXT PRIMARY KEY,
    claim TEXT NOT NULL,
    owner TEXT NOT NULL,
    token INTEGER NOT NULL,
    boot TEXT NOT NULL,
    expires_at REAL NOT NULL,
    acquired_at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE fence (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    token INTEGER NOT NULL
);

INSERT INTO fence (id, token) VALUES (1, 0);
