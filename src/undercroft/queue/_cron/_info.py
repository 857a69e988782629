"""What is told of a cron: its definition, its state and its next firings in one value."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Any

import msgspec

from undercroft._core.clock import utc
from undercroft.queue._cron._definition import CronJob
from undercroft.queue._cron._options import Misfire, Overlap
from undercroft.queue._cron._state import CronState, Line, Outcome, job_id_of

NEXT_SHOWN = 5


class CronRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a slot."""

    slot_at: datetime
    """Of several slots that were missed, the latest; of a run by hand, when it was asked for."""
    fired_at: datetime
    """When it was decided."""
    outcome: Outcome
    job_id: str | None
    count: int
    """How many slots were missed; 1000 stands for that many or more."""


class CronInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A cron as it is now."""

    name: str
    job: str
    """Name of the job it runs."""
    queue: str
    expression: str
    """The expression, or `every 5m`."""
    tz: str
    words: str
    """When it fires, in words."""
    description: str
    overlap: Overlap
    misfire: Misfire
    is_enabled: bool
    """By its definition."""
    is_paused: bool
    """By `pause`."""
    is_stored: bool
    """Made by `schedule`; its definition is not in the code."""
    runs: int
    """How many slots were fired."""
    max_runs: int | None
    last_slot_at: datetime | None
    """The last slot that was fired or skipped, or the latest that was missed; `None` when there is none on record."""
    last_job_id: str | None
    """Of the last slot that was fired."""
    next_at: tuple[datetime, ...]
    """The next five firings; none while it is paused, disabled or at its end."""


def info_of(cron: CronJob[..., Any], state: CronState | None, *, now: float, is_stored: bool) -> CronInfo:
    """Return what is told of a cron now."""
    is_paused = state is not None and state.is_paused
    runs = state.runs if state else 0
    fires = cron.enabled and not is_paused and (cron.max_runs is None or runs < cron.max_runs)
    slots = [line.slot for line in state.history if line.outcome is not Outcome.MANUAL] if state else []
    return CronInfo(
        name=cron.name,
        job=cron.job.name,
        queue=cron.queue,
        expression=cron.schedule,
        tz=cron.tz,
        words=cron.describe(),
        description=cron.description,
        overlap=cron.overlap,
        misfire=cron.misfire,
        is_enabled=cron.enabled,
        is_paused=is_paused,
        is_stored=is_stored,
        runs=runs,
        max_runs=cron.max_runs,
        last_slot_at=utc(slots[0]) if slots else None,
        last_job_id=state.last_job_id if state else None,
        next_at=next_firings(cron, state, now=now, count=NEXT_SHOWN) if fires else (),
    )


def next_firings(cron: CronJob[..., Any], state: CronState | None, *, now: float, count: int) -> tuple[datetime, ...]:
    """Return the slots after now that are not decided yet."""
    since = now if state is None else max(now, state.last_slot)
    return tuple(islice(cron.after(utc(since)), count))


def record_of(name: str, line: Line) -> CronRecord:
    """Return a line of a cron's history as it is told."""
    job_id = job_id_of(name, line.slot) if line.outcome is Outcome.FIRED else line.job_id
    return CronRecord(
        slot_at=utc(line.slot), fired_at=utc(line.fired), outcome=line.outcome, job_id=job_id, count=line.count
    )
