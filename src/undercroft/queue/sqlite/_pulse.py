"""A worker's heartbeat from a thread of its own, over a connection of its own."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from undercroft._core.sqlite import StoreUnavailableError
from undercroft._core.sqlite_errors import is_busy, translated
from undercroft.queue._errors import QueueUnavailableError
from undercroft.queue._values import Beat, ClaimedJob
from undercroft.queue.sqlite._working import beat

_PATIENCE_S = 3.0


class SqlitePulse:
    """See `Pulse`. Opened at the first beat that is for a job, in the thread that beats; closed by `close`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None

    def beat(self, jobs: Sequence[ClaimedJob], *, lease_s: float) -> Beat:
        """As the protocol says. Gives up after 3 seconds of waiting for another's write."""
        if not jobs:
            return Beat()  # that the worker lives is told by its lock file
        try:
            with translated(self._path):
                return self._beat(jobs, lease_s)
        except StoreUnavailableError as exc:
            self.close()
            raise QueueUnavailableError(exc.message, hint=exc.hint) from exc

    def close(self) -> None:
        """Close the connection, if there is one."""
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def _beat(self, jobs: Sequence[ClaimedJob], lease_s: float) -> Beat:
        db = self._db = self._db or self._open()
        self._begin(db)
        try:
            found = beat(db, jobs, lease_until=time.time() + lease_s)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return found

    def _open(self) -> sqlite3.Connection:
        # `mode=rw`: a file that is gone must not be made again, empty.
        db = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None)
        # Not worth an fsync: a lease that a power cut shortens is that of a worker that is gone.
        db.execute("PRAGMA synchronous = normal")
        return db

    def _begin(self, db: sqlite3.Connection) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as exc:
                if not is_busy(exc) or time.monotonic() >= deadline:
                    raise
                time.sleep(0.002)
            else:
                return
