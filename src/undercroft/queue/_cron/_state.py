"""What is remembered of a cron, and what comes next: one JSON document in the engine's ledger, and a pure function.

The document has the key `cron:<name>` in the queue that the cron's jobs go to. All that fires a cron reads it, plans,
and writes it back together with the jobs in one step, if nobody else has written meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from itertools import islice, takewhile
from typing import Any

import msgspec

from undercroft.queue._cron._definition import CronJob
from undercroft.queue._cron._options import Misfire, Overlap
from undercroft.queue._cron._slots import IntervalSlots

FORMAT = 1
PREFIX = "cron:"
KEEP_HISTORY = 50
MAX_CATCH_UP = 1000
"""Slots that are looked at after a downtime, and that wait with `overlap="queue"`; older ones are dropped."""
GRACE_S = 60.0
"""How late a slot may be and still fire with `misfire="skip"`."""


class Outcome(StrEnum):
    """What became of a slot."""

    FIRED = "fired"
    SKIPPED = "skipped"
    """The run of an earlier slot was not finished."""
    MISSED = "missed"
    """It passed while no scheduler was at work, or waited among too many."""
    MANUAL = "manual"
    """It is no slot: somebody asked for a run."""


class Line(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One line of a cron's history, as it is stored: short, since every scheduler reads it every second."""

    slot: int
    """Epoch seconds; of several, the latest; of a run by hand, when it was asked for."""
    fired: float
    """When this was decided, epoch seconds."""
    outcome: Outcome
    count: int = 1
    """How many slots were missed; 1000 stands for that many or more."""
    job_id: str | None = None
    """Where it does not follow from the slot."""


class StoredCron(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The definition of a cron that is not in the code."""

    job: str
    """Name of the job it runs."""
    cron: str | None = None
    every: int | None = None
    """Seconds."""
    tz: str = "UTC"
    data: msgspec.Raw = msgspec.Raw(b"{}")
    enabled: bool = True
    description: str = ""
    overlap: Overlap = Overlap.SKIP
    misfire: Misfire = Misfire.ONE
    jitter: float = 0.0
    start: datetime | None = None
    end: datetime | None = None
    max_runs: int | None = None

    @classmethod
    def of(cls, cron: CronJob[..., Any]) -> StoredCron:
        """Return what to store of a definition."""
        slots = cron.timetable.slots
        is_interval = isinstance(slots, IntervalSlots)
        return cls(
            job=cron.job.name,
            cron=None if is_interval else slots.text,
            every=slots.every_s if isinstance(slots, IntervalSlots) else None,
            tz=cron.tz,
            data=msgspec.Raw(cron.data),
            enabled=cron.enabled,
            description=cron.description,
            overlap=cron.overlap,
            misfire=cron.misfire,
            jitter=cron.jitter_s,
            start=cron.timetable.start,
            end=cron.timetable.end,
            max_runs=cron.max_runs,
        )

    def options(self) -> Mapping[str, Any]:
        """Return it as the options of `define_cron`."""
        given = {name: getattr(self, name) for name in self.__struct_fields__ if name not in ("job", "data")}
        return {**given, "data": msgspec.json.decode(self.data)}


class CronState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The document. Times are epoch seconds."""

    v: int
    """Version of the format. A scheduler leaves documents of a later one alone."""
    last_slot: int
    """Every slot up to this one is decided."""
    runs: int = 0
    """Slots that were fired."""
    is_paused: bool = False
    last_job_id: str | None = None
    """Of the last slot that was fired; its end is what the next one may have to wait for."""
    waiting: tuple[int, ...] = ()
    """Slots that wait for the end of that job, oldest first."""
    replaced: tuple[str, ...] = ()
    """Jobs that are to be cancelled."""
    history: tuple[Line, ...] = ()
    """Newest first."""
    definition: StoredCron | None = None

    def with_(self, **changes: Any) -> CronState:
        """Return a copy with changes."""
        return msgspec.structs.replace(self, **changes)

    def recorded(self, *lines: Line) -> tuple[Line, ...]:
        """Return the history with lines, oldest first, added."""
        return (*reversed(lines), *self.history)[:KEEP_HISTORY]


class Plan(msgspec.Struct, frozen=True):
    """What to do with a cron now."""

    state: CronState
    """To be stored, in one step with the jobs."""
    fired: tuple[int, ...]
    """Slots to add a job for."""
    missed: int
    """How many slots are given up."""


def encode_state(state: CronState) -> bytes:
    """Return the document."""
    return msgspec.json.encode(state)


def decode_state(data: bytes) -> CronState:
    """Read a document.

    Raises:
        msgspec.MsgspecError: It cannot be read.
    """
    return msgspec.json.decode(data, type=CronState)


def job_id_of(name: str, slot: int | str) -> str:
    """Return the id of the job of a slot. Unique per name and slot; without `:`, which BullMQ's keys are made with."""
    return f"cron-{name.replace('%', '%25').replace(':', '%3A')}-{slot}"


def plan(cron: CronJob[..., Any], state: CronState, *, now: float, is_running: bool) -> Plan | None:
    """Decide about the slots since the last one that was decided. No I/O.

    Args:
        is_running: Whether the job `state.last_job_id` is not finished.

    Returns:
        What to store and to add; `None` when there is nothing to do.
    """
    if state.is_paused or not cron.enabled:
        return None
    due = _due(cron, state, now)
    if not due and (is_running or not state.waiting):
        return None
    chosen, missed = _after_misfire(cron, due, now)
    step = _Step(cron, state, now, is_running)
    step.give_up(missed)
    step.go_on()
    for slot in chosen:
        step.take(slot)
    return step.result(due[-1] if due else state.last_slot)


def next_slot(cron: CronJob[..., Any], state: CronState) -> int | None:
    """Return the slot to wait for; `None` when there is none."""
    if state.is_paused or not cron.enabled or _is_used_up(cron, state.runs + len(state.waiting)):
        return None
    return next(cron.timetable.slots_after(state.last_slot), None)


def _is_used_up(cron: CronJob[..., Any], runs: int) -> bool:
    return cron.max_runs is not None and runs >= cron.max_runs


def _due(cron: CronJob[..., Any], state: CronState, now: float) -> list[int]:
    """Return the slots to decide about, oldest first; of more than `MAX_CATCH_UP` the latest, and one more."""
    if _is_used_up(cron, state.runs + len(state.waiting)):
        return []
    undecided = takewhile(lambda slot: slot > state.last_slot, cron.timetable.slots_before(now))
    return list(islice(undecided, MAX_CATCH_UP + 1))[::-1]


def _after_misfire(cron: CronJob[..., Any], due: list[int], now: float) -> tuple[list[int], list[int]]:
    """Return which slots to fire, and which are missed."""
    if cron.misfire is Misfire.ALL:
        return due[-MAX_CATCH_UP:], due[:-MAX_CATCH_UP]
    if cron.misfire is Misfire.ONE:
        return due[-1:], due[:-1]
    return [slot for slot in due if slot >= now - GRACE_S], [slot for slot in due if slot < now - GRACE_S]


class _Step:
    """One pass over a cron's slots."""

    def __init__(self, cron: CronJob[..., Any], state: CronState, now: float, is_running: bool) -> None:
        self._cron = cron
        self._state = state
        self._now = now
        self._is_running = is_running
        self._last_job_id = state.last_job_id
        self._waiting = list(state.waiting)
        self._replaced = list(state.replaced)
        self._lines: list[Line] = []
        self._fired: list[int] = []
        self._missed = 0

    def give_up(self, slots: list[int]) -> None:
        if slots:
            count = min(len(slots), MAX_CATCH_UP)
            self._missed += count
            self._note(slots[-1], Outcome.MISSED, count)

    def go_on(self) -> None:
        """Fire the slot that has waited longest, if it need not wait any more."""
        if self._waiting and (not self._is_running or self._cron.overlap is not Overlap.QUEUE):
            self._fire(self._waiting.pop(0))

    def take(self, slot: int) -> None:
        if _is_used_up(self._cron, self._state.runs + len(self._fired) + len(self._waiting)):
            return
        if not self._is_running or self._cron.overlap is Overlap.ALLOW:
            self._fire(slot)
        elif self._cron.overlap is Overlap.SKIP:
            self._note(slot, Outcome.SKIPPED)
        elif self._cron.overlap is Overlap.QUEUE:
            self._waiting.append(slot)
        else:
            self._replaced += [self._last_job_id] if self._last_job_id else []
            self._fire(slot)

    def result(self, last_slot: int) -> Plan:
        self.give_up(self._waiting[:-MAX_CATCH_UP])
        state = self._state.with_(
            last_slot=last_slot,
            runs=self._state.runs + len(self._fired),
            last_job_id=self._last_job_id,
            waiting=tuple(self._waiting[-MAX_CATCH_UP:]),
            replaced=tuple(self._replaced),
            history=self._state.recorded(*self._lines),
        )
        return Plan(state, tuple(self._fired), self._missed)

    def _fire(self, slot: int) -> None:
        self._note(slot, Outcome.FIRED)
        self._fired.append(slot)
        self._last_job_id, self._is_running = job_id_of(self._cron.name, slot), True

    def _note(self, slot: int, outcome: Outcome, count: int = 1) -> None:
        self._lines.append(Line(slot, round(self._now, 3), outcome, count))
