"""Tells how deep the queues are, as metrics."""

from __future__ import annotations

from undercroft.queue._counts import DepthGauges
from undercroft.queue._protocol import Engine

DEPTH_S = 15.0
"""How often: about as often as a scraper asks."""


class DepthWatch:
    """Looks at the queues of one worker."""

    def __init__(self, engine: Engine, queues: tuple[str, ...]) -> None:
        self._engine = engine
        self._queues = queues
        self._gauges = DepthGauges()

    async def look(self) -> None:
        """Look once."""
        for queue in self._queues:
            counts = await self._engine.counts(queue=queue)
            oldest_at = (await self._engine.statistics(queue)).oldest_waiting_at if counts.waiting else None
            waits_s = 0.0 if oldest_at is None else self._engine.time() - oldest_at
            self._gauges.look(queue, counts, waits_s)
