"""Whether a worker does its work: what its `health()` says, and the watch for the failure that shows nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from undercroft._core.clock import Clock
from undercroft.logging import Logger
from undercroft.queue._worker._claiming import Claimer
from undercroft.queue._worker._context import Workplace
from undercroft.queue._worker._slots import Slots

STALLED_S = 10.0
"""Work that waited so long, while a worker with free slots claimed nothing, means that the worker does not work."""
LOOK_S = 5.0
SILENT_S = 5.0
"""A store or a heartbeat that fails for so long is a problem."""

_log = Logger(module="undercroft.queue")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerHealth:
    """How a worker is."""

    problems: tuple[str, ...]
    """What is wrong, in words; empty when nothing is."""
    active: int
    """Jobs that it runs now."""
    runs: int
    """Runs that ended, whatever came of them."""
    last_claim_at: datetime | None
    """When it last began a run."""
    loop_lag_s: float
    """The longest time in the last ten seconds or so by which its event loop ran too late."""
    rss_bytes: int
    """Resident memory of its process."""

    @property
    def is_ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


class StallWatch:
    """Notices that a worker claims nothing while work waits, and has it start over.

    It happens where a connection is dead without saying so, or a wake-up was lost; a worker then idles for ever, and
    looks well. `problem` says what was found, until work is claimed again or none waits.
    """

    def __init__(
        self, place: Workplace, slots: Slots, claimer: Claimer, *, queues: tuple[str, ...], clock: Clock
    ) -> None:
        self.problem: str | None = None
        self._engine = place.engine
        self._slots = slots
        self._claimer = claimer
        self._queues = queues
        self._clock = clock
        self._began = clock.monotonic()

    async def look(self) -> None:
        """Look once."""
        stalled = await self._stalled()
        if stalled is None:
            self.problem = None
            return
        queue, waited_s = stalled
        problem = f"it claims nothing, while work in queue {queue!r} has waited for {waited_s:.0f} s"
        if self.problem is None:
            _log.error(
                "worker claims nothing while work waits; starting over", queue=queue, waited_s=round(waited_s, 1)
            )
        self.problem = problem
        self._claimer.start_over()

    async def _stalled(self) -> tuple[str, float] | None:
        """Return the queue in which work has waited too long, and for how long."""
        last = self._began if self._slots.last_start is None else self._slots.last_start
        if self._claimer.is_stopping or self._slots.free <= 0 or self._clock.monotonic() - last <= STALLED_S:
            return None
        for queue in self._queues:
            waited_s = await self._waited_s(queue)
            if waited_s > STALLED_S:
                return queue, waited_s
        return None

    async def _waited_s(self, queue: str) -> float:
        counts = await self._engine.counts(queue=queue)
        if counts.waiting == 0:
            return 0.0
        settings = await self._engine.settings(queue)
        if settings.is_paused or settings.max_active is not None or settings.rate is not None:
            return 0.0  # somebody wants it to wait
        oldest_at = (await self._engine.statistics(queue)).oldest_waiting_at
        return 0.0 if oldest_at is None else self._engine.time() - oldest_at
