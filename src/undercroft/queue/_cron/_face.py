"""The functions about crons of the module's face: they act on the bound queue's crons."""

from __future__ import annotations

from typing import Any, Protocol

from undercroft._core.bound import BoundPart
from undercroft.queue._cron._crons import Crons
from undercroft.queue._cron._definition import CronJob


class HasCrons(Protocol):
    """What these functions need of a queue."""

    @property
    def crons(self) -> Crons: ...


_queue = BoundPart[HasCrons]("queue")


def get_cron_jobs() -> tuple[CronJob[..., Any], ...]:
    """Return the crons that the bound queue has from the code, in order. For what is remembered of them see `Crons`."""
    return _queue.require().crons.definitions


def get_cron_job(name: str) -> CronJob[..., Any] | None:
    """Return the cron of this name that the bound queue has from the code, or `None`."""
    return _queue.require().crons.get_definition(name)


def clear_cron_jobs() -> None:
    """Take all crons of the code from the bound queue: this process fires them no more."""
    _queue.require().crons.clear_definitions()
