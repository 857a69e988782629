"""Point reads in the event loop's own thread, on a connection that only reads.

A deliberate exception to "blocking work goes to a thread". A reader of a WAL file takes no lock that a writer may hold,
and finding a small row takes some 10 µs, where a hop to a thread and back costs 50 to 90. What could take long is left
to the thread all the same: values of more than `INLINE_BYTES`, more than a few keys, and everything that this
connection cannot answer at once.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from undercroft._core.errors import NotOpenError
from undercroft._core.sqlite import StoreUnavailableError
from undercroft.cache._protocol import NOT_NOW, NotNow

INLINE_BYTES = 65_536
INLINE_READS = 16
"""How many keys and tags are looked up in one go without a thread."""
SURE_S = 0.01
"""For how long a file that was looked for is taken to be there: the look costs a quarter of a read."""


class Reader:
    """A second connection to a file that the store has opened already. For one thread; opened by the first read."""

    def __init__(self, path: Path) -> None:
        self._path = os.fspath(path)
        self._uri = f"file:{quote(os.fspath(path.absolute()))}?mode=ro"
        self._pid = os.getpid()
        self._connection: sqlite3.Connection | None = None
        self._cursor: sqlite3.Cursor | None = None
        self._file: tuple[int, int] | None = None
        self._looked_at = float("-inf")

    def get(self, space: str, key: str, now: float) -> bytes | Literal[NotNow.NOT_NOW] | None:
        """Return what is kept under a key, or `NOT_NOW`.

        Raises:
            StoreUnavailableError: The file was deleted or replaced since it was opened.
            NotOpenError: This process was forked from the one that opened it.
        """
        try:
            # All rows at once: a statement that is not at its end would keep the WAL from being reset.
            rows = self._ready(now).execute(GET, (space, key, now)).fetchall()
        except sqlite3.Error:
            self.close()
            return NOT_NOW  # whose error, if it is one there too, says what is wrong
        if not rows:
            return None
        data: bytes | None = rows[0][0]
        return NOT_NOW if data is None else data

    def read(
        self, space: str, keys: Sequence[str], tags: Sequence[str], now: float
    ) -> tuple[tuple[bytes | None, ...], tuple[bytes | None, ...]] | Literal[NotNow.NOT_NOW]:
        """Return what is kept under a few keys, and the versions of a few tags, of one moment; or `NOT_NOW`."""
        if len(keys) + len(tags) > INLINE_READS:
            return NOT_NOW
        try:
            cursor = self._ready(now)
            cursor.execute("BEGIN")
            try:
                values = [cursor.execute(GET, (space, key, now)).fetchall() for key in keys]
                versions = [cursor.execute(VERSION, (space, tag, now)).fetchall() for tag in tags]
            finally:
                cursor.execute("COMMIT")
        except sqlite3.Error:
            self.close()
            return NOT_NOW
        if any(rows and rows[0][0] is None for rows in values):
            return NOT_NOW
        return tuple(rows[0][0] if rows else None for rows in values), as_versions(versions)

    def has_lease(self, space: str, key: str, now: float) -> bool | Literal[NotNow.NOT_NOW]:
        """Tell whether anybody holds the lease of a key; or `NOT_NOW`."""
        try:
            return bool(self._ready(now).execute(LEASE, (space, key, now)).fetchall())
        except sqlite3.Error:
            self.close()
            return NOT_NOW

    def close(self) -> None:
        """Close the connection; the next read opens it again."""
        connection, self._connection, self._cursor = self._connection, None, None
        if connection is not None and os.getpid() == self._pid:
            connection.close()

    def _ready(self, now: float) -> sqlite3.Cursor:
        if os.getpid() != self._pid:
            raise NotOpenError(
                "the cache was opened before this process was forked",
                hint="open the Infra after the fork, in each process",
            )
        if self._cursor is not None and 0 <= now - self._looked_at < SURE_S:
            return self._cursor
        file = _identity(self._path)
        if self._cursor is not None and file == self._file:
            self._looked_at = now
            return self._cursor
        if file is None or self._file not in (None, file):
            self.close()
            raise StoreUnavailableError(
                f"the store {self._path} was deleted or replaced while it was open",
                hint="put the file back, or restart the process so that it opens the new one",
            )
        return self._connect(file)

    def _connect(self, file: tuple[int, int]) -> sqlite3.Cursor:
        self._connection = connection = sqlite3.connect(
            self._uri, uri=True, timeout=0, isolation_level=None, cached_statements=16
        )
        # No memory map: with one, a file that somebody truncates ends the process by a signal.
        self._cursor, self._file = connection.cursor(), file
        return self._cursor


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - several times per request; a Path costs as much again
    except OSError:
        return None
    return found.st_dev, found.st_ino


def as_versions(found: Iterable[Sequence[tuple[str]]]) -> tuple[bytes | None, ...]:
    """Return the versions of tags of what was found for each."""
    return tuple(rows[0][0].encode() if rows else None for rows in found)


# length() reads a row's header only, and CASE leaves a large value where it is.
GET = f"""
SELECT CASE WHEN length(data) <= {INLINE_BYTES} THEN data END FROM entries
WHERE space = ? AND key = ? AND expires_at > ?"""  # noqa: S608 - a number of ours

GET_ANY = "SELECT data FROM entries WHERE space = ? AND key = ? AND expires_at > ?"

VERSION = "SELECT version FROM tags WHERE space = ? AND tag = ? AND expires_at > ?"

LEASE = "SELECT 1 FROM leases WHERE space = ? AND key = ? AND expires_at > ?"
