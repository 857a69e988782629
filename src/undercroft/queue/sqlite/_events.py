"""Events of the SQLite engine: recorded while somebody listens, and read by polling what was committed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec

from undercroft._core.clock import utc
from undercroft.queue._values import JobEvent
from undercroft.queue.sqlite._base import SqliteBase, translated
from undercroft.queue.sqlite._step import Step, as_json

_HEARD_S = 120.0
_RENEWED_S = 30.0
_AT_ONCE = 500


class Events(SqliteBase):
    """The engine's method for events."""

    def events(self, queues: Sequence[str], *, after: str | None = None) -> AsyncIterator[JobEvent]:
        """As the protocol says: from this call on, or after a cursor.

        Events cost writes, so they are recorded only while somebody listens, in any process: from this call until two
        minutes after a listener last asked for an event. What happened while nobody listened is not there for a cursor
        either. The last 10 000 events are kept.
        """
        return self._follow(as_json(queues), after, self._submit(_listen))

    async def _follow(
        self, queues: str, after: str | None, listening: asyncio.Future[tuple[int, Step]]
    ) -> AsyncIterator[JobEvent]:
        with translated():
            last, _ = await listening
        last = last if after is None else int(after)
        renew_at = self._clock.monotonic() + _RENEWED_S
        while True:
            seen = self._changes
            if self._clock.monotonic() >= renew_at:
                renew_at = self._clock.monotonic() + _RENEWED_S
                await self._write(_listen)
            values = (last, queues, _AT_ONCE)
            rows = await self._read(lambda db, values=values: db.execute(NEXT, values).fetchall())  # type: ignore[misc]
            for seq, queue, type_, job_id, at, fields in rows:
                last = seq
                told = msgspec.json.decode(fields)
                yield JobEvent(cursor=f"{seq:020d}", type=type_, queue=queue, job_id=job_id, at=utc(at), fields=told)
            if not rows:
                await self._wait_for_change(seen, timeout=max(0.0, renew_at - self._clock.monotonic()))


def _listen(step: Step) -> int:
    """Have events recorded for a while; return the cursor of the last one."""
    step.db.execute("INSERT OR REPLACE INTO listeners VALUES ('any', ?)", (step.now + _HEARD_S,))
    row = step.db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return int(row[0]) if row else 0


NEXT = """
SELECT seq, queue, type, job_id, at, fields FROM events
WHERE seq > ? AND queue IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT ?"""
