"""What a worker does beside running jobs, in loops that do not end until the worker does."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

from undercroft._core.clock import Clock
from undercroft.logging import Logger
from undercroft.monitoring import Counter
from undercroft.queue._errors import QueueUnavailableError
from undercroft.queue._worker._context import Workplace

MAX_CRASHES = 3
"""A job that took this many workers down is failed as quarantined, so that it cannot take all of them."""
CRASH_DELAY_S = 5.0
"""Wait before a job that crashed twice runs again. Workers that are killed for another reason tend to be killed several
times in a row, each with whatever job it has just taken over: the wait keeps that job out of the next one's hands."""

_SERVICE_RETRY_S = 5.0
_log = Logger(module="undercroft.queue")
Step = Callable[[], Awaitable[object]]


class QueueCare:
    """Looks after the queues: takes jobs back from dead workers, parks those nobody here knows, deletes old ones."""

    def __init__(self, place: Workplace, *, queues: tuple[str, ...], names: tuple[str, ...]) -> None:
        self._engine = place.engine
        self._queues = queues
        self._names = names
        self._rescues = Counter(
            "undercroft_jobs_rescued_total",
            help="Jobs that were taken back from a worker that died, and those of them that were put aside for it.",
            labels=("job", "outcome"),
        )

    def steps(self) -> tuple[Step, ...]:
        """What is to be done about every second."""
        return (self._rescue, self._park, self._prune)

    async def _rescue(self) -> None:
        rescued = await self._engine.rescue(queues=self._queues, max_crashes=MAX_CRASHES, again_after_s=CRASH_DELAY_S)
        for job in rescued:
            note = (
                "job quarantined: it took its workers down" if job.is_quarantined else "job rescued from a dead worker"
            )
            self._rescues.increment(job=job.name, outcome="quarantined" if job.is_quarantined else "rescued")
            _log.warning(note, job=job.name, job_id=job.id, dead_worker=job.worker_id)

    async def _park(self) -> None:
        for job_id, name in await self._engine.park_unknown(queues=self._queues, names=self._names):
            _log.warning(
                "job parked: its name is not known here; it stays in the queue for a worker that knows it",
                {"code": "UC1203", "job": name, "job_id": job_id},
            )

    async def _prune(self) -> None:
        await self._engine.prune(queues=self._queues)


async def repeat(steps: tuple[Step, ...], *, every_s: float, clock: Clock) -> None:
    """Do `steps` now and about every `every_s` seconds until cancelled, whatever they raise."""
    while True:
        for step in steps:
            await _supervised(step)
        await clock.sleep(every_s * random.uniform(0.9, 1.1))


async def serve(service: Callable[[], Awaitable[Any]], *, clock: Clock) -> None:
    """Run a service that is meant to run until cancelled, again when it fails, until it ends by itself."""
    while not await _supervised(service):
        await clock.sleep(_SERVICE_RETRY_S * random.uniform(0.5, 1.0))


async def _supervised(step: Step) -> bool:
    # A loop that ends quietly is how queues stop without anybody noticing: it survives, and says so.
    try:
        await step()
    except QueueUnavailableError as exc:
        _log.warning("queue does not answer, will try again", error_text=exc.message)
    except Exception:
        _log.exception("queue care failed, will try again")
    else:
        return True
    return False
