"""Stop a worker the way signals ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from undercroft._core.durations import format_seconds
from undercroft.cli._signals import StopRequests
from undercroft.logging import Logger

if TYPE_CHECKING:
    from undercroft.queue import Worker

_log = Logger(module="undercroft.cli")


async def stop_worker_when_asked(worker: Worker, stop: StopRequests, grace_s: float) -> None:
    """Wait for the first request and drain; at the second, cut the draining short. Return when it has stopped."""
    await stop.asked.wait()
    _log.info("stopping: no more claims; running jobs may finish", active=worker.active, grace=format_seconds(grace_s))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_force, worker, stop)
        await worker.stop()
        tasks.cancel_scope.cancel()


async def _force(worker: Worker, stop: StopRequests) -> None:
    await stop.forced.wait()
    _log.warning("forced: running jobs are given back", active=worker.active)
    await worker.stop(grace=0)
