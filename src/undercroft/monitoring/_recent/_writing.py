"""Writing: one transaction adds rows and removes the oldest ones that are too many."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Final

from undercroft.monitoring._recent._rows import Rows

if TYPE_CHECKING:
    import sqlite3

    from undercroft.monitoring._recent._values import RecentOptions

_SPANS: Final = ("spans", ("seq", "trace_id", "span_id", "request_id", "job_id", "name", "start_ns", "end_ns",
                           "is_error", "body"))  # fmt: skip
_LINES: Final = ("lines", ("seq", "trace_id", "span_id", "request_id", "job_id", "level", "at_ms", "body"))
_LINKS: Final = ("links", ("span", "linked"))

# A call of SQLite for each row would let the event loop take the interpreter's lock after each, 5 ms at a time.
_AT_ONCE = (256, 32, 4, 1)
_SPARE = 20
"""One in so many rows goes with those that are too many, so that it is not done for every transaction."""
_OLD_AT_ONCE = 5_000


def write_rows(db: sqlite3.Connection, rows: Rows) -> None:
    """Add `rows`."""
    if rows.spans:
        first = _last_seq(db, "spans") + 1
        _insert(db, _SPANS, [(first + n, *row) for n, row in enumerate(rows.spans)])
        _insert(db, _LINKS, [(first + n, linked) for n, linked in rows.links])
    if rows.lines:
        first = _last_seq(db, "lines") + 1
        _insert(db, _LINES, [(first + n, *row) for n, row in enumerate(rows.lines)])


def prune(db: sqlite3.Connection, options: RecentOptions) -> None:
    """Delete the oldest rows beyond the limits of number and size."""
    _prune_number(db, "spans", options.max_spans)
    _prune_number(db, "lines", options.max_lines)
    while _size_mb(db) > options.max_size_mb and _delete_tenth(db):
        """Until it fits, or nothing is left."""


def prune_old(db: sqlite3.Connection, *, before_ms: int) -> None:
    """Delete rows older than `before_ms`, up to some thousands: what is left goes the next time."""
    db.execute(_OLD_SPANS, (_OLD_AT_ONCE, before_ms * 1_000_000))
    db.execute(_OLD_LINES, (_OLD_AT_ONCE, before_ms))


def _prune_number(db: sqlite3.Connection, table: str, limit: int) -> None:
    first, last = db.execute(_ENDS[table]).fetchone()
    if first is not None and last - first + 1 > limit:
        db.execute(_DELETE[table], (last - limit + limit // _SPARE,))


def _delete_tenth(db: sqlite3.Connection) -> bool:
    found = False
    for table in ("spans", "lines"):
        first, last = db.execute(_ENDS[table]).fetchone()
        if first is not None:
            found = True
            db.execute(_DELETE[table], (first + (last - first) // 10,))
    return found


def _size_mb(db: sqlite3.Connection) -> float:
    (size,) = db.execute(_SIZE).fetchone()
    return float(size) / 1e6


def _last_seq(db: sqlite3.Connection, table: str) -> int:
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return int(row[0]) if row else 0


def _insert(db: sqlite3.Connection, into: tuple[str, tuple[str, ...]], rows: Sequence[tuple[object, ...]]) -> None:
    done = 0
    while done < len(rows):
        size = next(size for size in _AT_ONCE if size <= len(rows) - done)
        db.execute(_insert_of(*into, size), [value for row in rows[done : done + size] for value in row])
        done += size


@cache
def _insert_of(table: str, columns: tuple[str, ...], rows: int) -> str:
    one = f"({', '.join('?' * len(columns))})"
    # Names of our own, from the constants above: every value is a parameter.
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([one] * rows)}"  # noqa: S608


_ENDS = {
    "spans": "SELECT (SELECT min(seq) FROM spans), (SELECT max(seq) FROM spans)",
    "lines": "SELECT (SELECT min(seq) FROM lines), (SELECT max(seq) FROM lines)",
}
_DELETE = {"spans": "DELETE FROM spans WHERE seq <= ?", "lines": "DELETE FROM lines WHERE seq <= ?"}
_OLD_SPANS = """
DELETE FROM spans WHERE seq IN (
    SELECT seq FROM (SELECT seq, end_ns FROM spans ORDER BY seq LIMIT ?) WHERE end_ns < ?)"""
_OLD_LINES = """
DELETE FROM lines WHERE seq IN (
    SELECT seq FROM (SELECT seq, at_ms FROM lines ORDER BY seq LIMIT ?) WHERE at_ms < ?)"""
_SIZE = """
SELECT (page_count - freelist_count) * page_size
FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()"""
