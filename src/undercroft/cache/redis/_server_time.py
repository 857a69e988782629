"""The server's clock, as well as it is known here without asking."""

from __future__ import annotations

from contextlib import suppress

from undercroft._core.clock import Clock
from undercroft.connections.redis import RedisConnection, RedisError

_EVERY_S = 60.0
_AGAIN_S = 1.0
"""After a look that failed."""


class ServerTime:
    """What Redis's clock shows, by what it showed at some look and how long ago that was.

    Off by at most half of the shortest round trip seen, and what the two clocks drift in a minute. Before the first
    look, by this host's clock.
    """

    def __init__(self, connection: RedisConnection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._offset_s: float | None = None
        self._unsure_s = 0.0
        self._due_at = clock.monotonic()

    def __call__(self) -> float:
        """Return the instant, epoch seconds."""
        return self._clock.time() if self._offset_s is None else self._clock.monotonic() + self._offset_s

    @property
    def is_due(self) -> bool:
        """Whether it is time to look again."""
        return self._clock.monotonic() >= self._due_at

    async def look(self) -> None:
        """Ask the server. One that does not answer leaves things as they are."""
        self._due_at = self._clock.monotonic() + _AGAIN_S  # others need not look meanwhile
        with suppress(RedisError):
            sent_at = self._clock.monotonic()
            seconds, micros = await self._ask()
            came_at = self._clock.monotonic()
            self._learn(seconds + micros / 1e6 - (sent_at + came_at) / 2, (came_at - sent_at) / 2)
            self._due_at = came_at + _EVERY_S

    def _learn(self, offset_s: float, unsure_s: float) -> None:
        """Keep the surer of two looks, unless they contradict each other: then a clock was set, or is another's."""
        known = self._offset_s
        if known is None or unsure_s <= self._unsure_s or abs(offset_s - known) > unsure_s + self._unsure_s:
            self._offset_s, self._unsure_s = offset_s, unsure_s

    async def _ask(self) -> tuple[int, int]:
        client = self._connection.client
        target = {"target_nodes": client.RANDOM} if self._connection.is_cluster else {}  # type: ignore[union-attr]
        with self._connection.translated():
            seconds, micros = await client.execute_command("TIME", **target)
        return int(seconds), int(micros)
