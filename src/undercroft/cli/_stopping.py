"""Stop what runs in the background, and the parts under it, the way signals ask for."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import anyio

from undercroft._core.durations import format_seconds
from undercroft._core.errors import CloseTimeoutError
from undercroft.cli._signals import StopRequests
from undercroft.logging import Logger

if TYPE_CHECKING:
    from undercroft.app import Infra

_log = Logger(module="undercroft.cli")


class Runner(Protocol):
    """What runs until it is stopped: a worker or a subscriber."""

    @property
    def active(self) -> int:
        """How many jobs or handlers run now."""

    async def run(self) -> None:
        """Work until stopped."""

    async def stop(self, grace: float | None = None) -> None:
        """Drain within the grace, and return when it has stopped."""


@asynccontextmanager
async def hurried_when_forced(infra: Infra, stop: StopRequests) -> AsyncIterator[None]:
    """For the block, which closes `infra`: let the second request cut that short too.

    What did not close in time is then told and not raised: it is what was asked for.
    """
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_hurry, infra, stop, name="hurry")
            yield
            tasks.cancel_scope.cancel()
    except* CloseTimeoutError as late:
        if not stop.forced.is_set():
            raise
        for text in _texts(late):  # logging is closed by now
            print(f"undercroft: forced: {text}", file=sys.stderr, flush=True)


async def stop_when_asked(runners: Sequence[Runner], stop: StopRequests, grace_s: float) -> None:
    """Wait for the first request and drain; at the second, cut the draining short. Return when all have stopped."""
    await stop.asked.wait()
    _log.info("stopping: no more claims; what runs may finish", active=_active(runners), grace=format_seconds(grace_s))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_force, runners, stop)
        await stop_all(runners)
        tasks.cancel_scope.cancel()


async def stop_all(runners: Sequence[Runner], *, grace_s: float | None = None) -> None:
    """Stop them side by side, so that they share the grace instead of adding theirs up."""
    async with anyio.create_task_group() as tasks:
        for runner in runners:
            tasks.start_soon(runner.stop, grace_s)


async def _force(runners: Sequence[Runner], stop: StopRequests) -> None:
    await stop.forced.wait()
    _log.warning("forced: what still runs is given back", active=_active(runners))
    await stop_all(runners, grace_s=0)


async def _hurry(infra: Infra, stop: StopRequests) -> None:
    await stop.forced.wait()
    infra.hurry()


def _texts(group: BaseExceptionGroup[BaseException]) -> Iterator[str]:
    for exc in group.exceptions:
        if isinstance(exc, BaseExceptionGroup):
            yield from _texts(exc)
        else:
            yield str(exc)


def _active(runners: Sequence[Runner]) -> int:
    return sum(runner.active for runner in runners)
