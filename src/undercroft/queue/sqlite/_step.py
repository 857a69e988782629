"""One step of the SQLite engine: a piece of work inside a transaction, and what it leaves to tell afterwards.

Every statement that concerns many jobs takes them as one JSON text and is one call of SQLite. Python's module lets
other threads run around each call and waits for its turn again afterwards, 5 ms when the event loop is busy: a hundred
calls for a hundred jobs would take half a second then (measured: 470 jobs a second, and 6 700 in one call).
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

EVENTS_KEPT = 10_000


class Step:
    """Made anew for each try of a piece of work; lives as long as that. `finish` comes last."""

    def __init__(self, db: sqlite3.Connection, now: float) -> None:
        self.db = db
        self.now = now
        self.has_news = False
        """There may be something to claim."""
        self.ended: list[str] = []
        """Ids of jobs that have ended or are gone."""
        self._ends: Counter[tuple[str, str]] = Counter()
        self._events: list[tuple[str, str, str | None, float, str]] = []
        self._is_heard: bool | None = None

    @property
    def is_heard(self) -> bool:
        """Whether somebody listens to events; otherwise none are recorded."""
        if self._is_heard is None:
            row = self.db.execute("SELECT 1 FROM listeners WHERE until > ? LIMIT 1", (self.now,)).fetchone()
            self._is_heard = row is not None
        return self._is_heard

    def tell(self, type: str, queue: str, job_id: str | None, **fields: Any) -> None:  # noqa: A002 - the event's word
        """Record an event, when somebody listens."""
        if self.is_heard:
            self._events.append((queue, type, job_id, self.now, msgspec.json.encode(fields).decode()))

    def count_end(self, queue: str, state: str, ids: Sequence[str]) -> None:
        """Count jobs that have come to their end in their minute."""
        self._ends[queue, state] += len(ids)
        self.ended.extend(ids)

    def finish(self) -> None:
        """Write what was counted and told."""
        for (queue, state), count in self._ends.items():
            completed, failed = (count, 0) if state == "completed" else (0, count)
            self.db.execute(COUNT_END, (queue, self.now // 60 * 60, completed, failed))
        if self._events:
            self.db.executemany("INSERT INTO events (queue, type, job_id, at, fields) VALUES (?, ?, ?, ?, ?)",
                                self._events)  # fmt: skip
            self.db.execute("DELETE FROM events WHERE seq <= (SELECT max(seq) FROM events) - ?", (EVENTS_KEPT,))


COUNT_END = """
INSERT INTO minutes (queue, at, completed, failed) VALUES (?, ?, ?, ?)
ON CONFLICT (queue, at) DO UPDATE SET completed = completed + excluded.completed, failed = failed + excluded.failed"""


def as_json(values: Iterable[object]) -> str:
    """Return values as the JSON list that `json_each(?)` takes."""
    return msgspec.json.encode(list(values)).decode()
