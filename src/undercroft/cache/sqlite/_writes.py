"""What a write does to the tables. Every function runs inside a transaction of the store, and may run twice."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence

from undercroft.cache._protocol import Item

_EXPIRED_AT_ONCE = 128
"""Rows of each table that one write removes, of those that remove any."""
_EVICTED_AT_ONCE = 64
_PAGE_BYTES = 4096
"""The least that a page of a file has that SQLite has made by itself since 2016."""
_EVICTIONS = 16
"""Portions of that which one write evicts at most; the next write goes on."""


def put(db: sqlite3.Connection, space: str, items: Sequence[Item], *, now: float) -> None:
    """Keep items and end the leases of their keys."""
    db.executemany(PUT, [(space, item.key, end_of_life(item.ttl_s, now), item.data) for item in items])
    db.executemany(END_LEASE, [(space, item.key) for item in items])


def put_leased(db: sqlite3.Connection, space: str, item: Item, token: str, *, now: float) -> bool:
    """Keep an item when `token` has the lease, and end it."""
    if db.execute(USE_LEASE, (space, item.key, token, now)).rowcount == 0:
        return False
    db.execute(PUT, (space, item.key, end_of_life(item.ttl_s, now), item.data))
    return True


def delete(db: sqlite3.Connection, space: str, keys: Sequence[str], *, now: float) -> int:
    """Forget keys and their leases; return how many there were."""
    count = 0
    for key in keys:
        gone = db.execute(DELETE, (space, key)).fetchall()
        db.execute(END_LEASE, (space, key))
        count += sum(expires_at > now for (expires_at,) in gone)
    return count


def ensure_tag(db: sqlite3.Connection, space: str, tag: str, *, fresh: str, now: float, ttl_s: float | None) -> str:
    """Return a tag's version, `fresh` when it has none, and keep it for at least `ttl_s`."""
    # Twice as long, so that most calls find it long enough and write nothing.
    until = end_of_life(None if ttl_s is None else 2 * ttl_s, now)
    version: str = db.execute(ENSURE_TAG, (space, tag, fresh, until, now)).fetchone()[0]
    return version


def take_lease(db: sqlite3.Connection, space: str, key: str, token: str, *, now: float, ttl_s: float) -> bool:
    """Take a lease that nobody else holds."""
    return db.execute(TAKE_LEASE, (space, key, token, now + ttl_s, now)).rowcount == 1


def expire(db: sqlite3.Connection, *, now: float) -> None:
    """Remove a portion of what has expired, of each table."""
    for statement in EXPIRE:
        db.execute(statement, (now, _EXPIRED_AT_ONCE))


def make_room(db: sqlite3.Connection, *, now: float, max_bytes: int) -> None:
    """Evict what has expired, then what was written longest ago, while there is too much."""
    for _ in range(_EVICTIONS):
        if not _is_over(db, max_bytes):
            return
        if db.execute(EXPIRE[0], (now, _EVICTED_AT_ONCE)).rowcount < _EVICTED_AT_ONCE:
            db.execute(EVICT, (_EVICTED_AT_ONCE,))


def _is_over(db: sqlite3.Connection, max_bytes: int) -> bool:
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    if pages * _PAGE_BYTES <= max_bytes:
        return False
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
    return int((pages - free) * page_bytes) > max_bytes


def end_of_life(ttl_s: float | None, now: float) -> float:
    """Return the instant `ttl_s` from now; infinity for never."""
    return math.inf if ttl_s is None else now + ttl_s


PUT = "INSERT OR REPLACE INTO entries (space, key, expires_at, data) VALUES (?, ?, ?, ?)"

# RETURNING gives what is stored, and compares nothing: SQLite 3.40 compares there as another column's type would.
DELETE = "DELETE FROM entries WHERE space = ? AND key = ? RETURNING expires_at"

END_LEASE = "DELETE FROM leases WHERE space = ? AND key = ?"

USE_LEASE = "DELETE FROM leases WHERE space = ? AND key = ? AND token = ? AND expires_at > ?"

GIVE_BACK = "DELETE FROM leases WHERE space = ? AND key = ? AND token = ?"

TAKE_LEASE = """
INSERT INTO leases (space, key, token, expires_at) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (space, key) DO UPDATE SET token = excluded.token, expires_at = excluded.expires_at
WHERE leases.expires_at <= ?5 OR leases.token = excluded.token"""

RENEW_LEASE = "UPDATE leases SET expires_at = ? WHERE space = ? AND key = ? AND token = ? AND expires_at > ?"

ENSURE_TAG = """
INSERT INTO tags (space, tag, version, expires_at) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (space, tag) DO UPDATE SET
    version = iif(tags.expires_at <= ?5, excluded.version, tags.version),
    expires_at = max(tags.expires_at, excluded.expires_at)
RETURNING version"""

FORGET_TAG = "DELETE FROM tags WHERE space = ? AND tag = ?"

# Of a range of keys, in portions: the last key of one is where the next begins.
CLEAR = """
DELETE FROM entries WHERE rowid IN (
    SELECT rowid FROM entries WHERE space = ? AND key >= ? AND key < ? ORDER BY key LIMIT ?)
RETURNING key, expires_at"""

CLEAR_LEASES = "DELETE FROM leases WHERE space = ? AND key >= ? AND key < ?"

EXPIRE = (
    """DELETE FROM entries WHERE rowid IN (
        SELECT rowid FROM entries WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)""",
    """DELETE FROM leases WHERE (space, key) IN (
        SELECT space, key FROM leases WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)""",
    """DELETE FROM tags WHERE (space, tag) IN (
        SELECT space, tag FROM tags WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)""",
)

EVICT = "DELETE FROM entries WHERE rowid IN (SELECT rowid FROM entries ORDER BY rowid LIMIT ?)"
