"""A run of a saga: from where its record says it is, to its end, or to where it has to wait.

Nothing begins before the record says so. The end of a step and the beginning of the next are one write, so a saga of N
steps is written N + 1 times by a run that nothing disturbs. A step that the record says is running, when a run begins,
belonged to a run that did not come to record its end: it is run again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from undercroft._core.clock import Clock
from undercroft._core.durations import format_seconds
from undercroft.logging import Logger
from undercroft.resilience._saga._attempts import attempt, is_unknown
from undercroft.resilience._saga._contexts import compensation_context_of, context_of
from undercroft.resilience._saga._counts import SagaCounts
from undercroft.resilience._saga._errors import (
    SagaDeadlineError,
    SagaLostError,
    SagaStepCrashedError,
    SagaUnavailableError,
    StepRefusedError,
)
from undercroft.resilience._saga._journal import Journal
from undercroft.resilience._saga._records import CompensationRecord, StepRecord, problem_of
from undercroft.resilience._saga._results import SagaState
from undercroft.resilience._saga._saga import Saga, Step

MAX_CRASHES = 3
"""Runs of one step that may end without a word before it counts as failed; a job's crashes have the same limit."""
_LAST_WORD_S = 2.0
"""How long a run that is cancelled may take to say that it was."""
_log = Logger(module="undercroft.resilience")


class SagaRun:
    """Drives one saga. Lives as long as one run of it.

    Args:
        patience_s: The longest wait before another attempt that is slept through here; a longer one is for the caller.
    """

    def __init__(
        self,
        saga: Saga[Any],
        journal: Journal,
        *,
        clock: Clock,
        counts: SagaCounts,
        patience_s: float,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._saga = saga
        self._journal = journal
        self._record = journal.record
        self._clock = clock
        self._counts = counts
        self._patience_s = patience_s
        self._draw = draw
        self._data = saga.read_data(bytes(self._record.data))
        self.cause: Exception | None = None
        """What the step raised that failed in this run."""

    async def go(self) -> float | None:
        """Run to the end, or to a wait that is too long for here, whose seconds are returned.

        Raises:
            SagaLostError: Somebody else goes on with this saga.
            SagaUnavailableError: The store does not take what happened.
        """
        try:
            self._notice_crash()
            delay_s = await self._forward() if self._record.state is SagaState.RUNNING else None
            if delay_s is None and self._record.state is SagaState.COMPENSATING:
                delay_s = await self._backward()
            if delay_s is not None:
                return delay_s
            await self._journal.save()
        except SagaLostError:
            self._counts.lost(self._saga.name)
            raise
        self._tell_end()
        return None

    def abandon(self, exc: Exception) -> None:
        """Have a saga that runs be undone from here; harmless for one that is being undone."""
        if self._record.state is SagaState.RUNNING:
            open_steps = [step for step in self._record.steps if step.state != "done"]
            self._turn(open_steps[-1] if open_steps else None, open_steps[-1].name if open_steps else None, exc)

    # --- Forward ----------------------------------------------------------------------------------------------------

    async def _forward(self) -> float | None:
        for step in self._saga.steps:
            entry = self._record.step(step.name) or StepRecord(name=step.name)
            if entry.state == "done":
                continue
            delay_s = await self._do(step, entry)
            if delay_s is not None or self._record.state is not SagaState.RUNNING:
                return delay_s
        self._record.state = SagaState.COMPLETED
        return None

    async def _do(self, step: Step[Any], entry: StepRecord) -> float | None:
        """Do a step, in as many attempts as it may have; a number of seconds: it has to wait that long."""
        while True:
            left_s = self._left_s()
            if left_s is not None and left_s <= 0:
                self._fail(step, entry, self._too_late())
                return None
            delay_s = await self._try(step, entry, left_s)
            if delay_s is None:
                return None
            left_s = self._left_s()
            if left_s is not None and delay_s >= left_s:
                self._fail(step, entry, self._too_late())
                return None
            await self._journal.save()
            if delay_s > self._patience_s:
                return delay_s
            await self._clock.sleep(delay_s)

    async def _try(self, step: Step[Any], entry: StepRecord, left_s: float | None) -> float | None:
        """Run a step once; a number of seconds: it is to be tried again after them."""
        if entry not in self._record.steps:
            self._record.steps.append(entry)
        entry.attempts += 1
        entry.state = "running"
        await self._journal.save()
        limits = [limit for limit in (step.timeout_s, left_s) if limit is not None]
        started = self._clock.monotonic()
        outcome = await attempt(
            partial(step.action, context_of(self._record, entry, self._data)),
            what=f"step {step.name!r}",
            span=f"saga {self._saga.name} {step.name}",
            limit_s=min(limits, default=None),
            clock=self._clock,
            on_cancel=partial(self._step_interrupted, entry),
        )
        seconds = self._clock.monotonic() - started
        if isinstance(outcome, msgspec.Raw):
            entry.result, entry.state = outcome, "done"
            self._counts.step(self._saga.name, step.name, "done", seconds=seconds)
            _log.info("saga step done", **self._about(step.name, entry.attempts))
            return None
        return self._step_failed(step, entry, outcome, seconds)

    def _step_failed(self, step: Step[Any], entry: StepRecord, exc: Exception, seconds: float) -> float | None:
        entry.failures += 1
        entry.error = problem_of(exc)
        entry.state = "waiting"
        says_nothing_happened = not step.compensate_on_failure or isinstance(exc, StepRefusedError)
        entry.may_have_effect |= is_unknown(exc) or not says_nothing_happened
        delay_s = step.retry.delay_s(entry.failures, exc, draw=self._draw)
        self._counts.step(self._saga.name, step.name, "failed" if delay_s is None else "retried", seconds=seconds)
        if delay_s is None:
            self._fail(step, entry, exc)
            return None
        about = self._about(step.name, entry.attempts)
        about.update(error_type=entry.error.type, error_text=entry.error.text, retry_in_s=round(delay_s, 3))
        _log.warning("saga step failed, will retry", about)
        return delay_s

    def _fail(self, step: Step[Any], entry: StepRecord, exc: Exception) -> None:
        self.cause = exc
        _log.error("saga step failed, compensating", exc, **self._about(step.name, entry.attempts))
        self._turn(entry, step.name, exc)

    def _turn(self, entry: StepRecord | None, name: str | None, exc: Exception) -> None:
        """Turn round: what has begun is to be undone, in reverse."""
        record = self._record
        record.state, record.failed_step, record.error = SagaState.COMPENSATING, name, problem_of(exc)
        if entry is not None:
            entry.state, entry.error = "failed", record.error
        able = {step.name for step in self._saga.steps if step.compensate is not None}
        record.compensations = [
            CompensationRecord(
                name=step.name,
                state="pending" if step.name in able and (step.state == "done" or step.may_have_effect) else "skipped",
                is_uncertain=step.state != "done",
            )
            for step in reversed(record.steps)
        ]

    # --- Backward ---------------------------------------------------------------------------------------------------

    async def _backward(self) -> float | None:
        steps = {step.name: step for step in self._saga.steps}
        for entry in self._record.compensations:
            if entry.state in ("pending", "waiting"):
                delay_s = await self._undo(steps[entry.name], entry)
                if delay_s is not None:
                    return delay_s
        is_undone = all(entry.state != "failed" for entry in self._record.compensations)
        self._record.state = SagaState.COMPENSATED if is_undone else SagaState.COMPENSATION_FAILED
        return None

    async def _undo(self, step: Step[Any], entry: CompensationRecord) -> float | None:
        while True:
            delay_s = await self._try_undo(step, entry)
            if delay_s is None:
                return None
            await self._journal.save()
            if delay_s > self._patience_s:
                return delay_s
            await self._clock.sleep(delay_s)

    async def _try_undo(self, step: Step[Any], entry: CompensationRecord) -> float | None:
        assert step.compensate is not None
        entry.attempts += 1
        entry.state = "running"
        await self._journal.save()
        outcome = await attempt(
            partial(step.compensate, compensation_context_of(self._record, entry, self._data)),
            what=f"the compensation of step {step.name!r}",
            span=f"saga {self._saga.name} {step.name} compensate",
            limit_s=step.compensate_timeout_s,
            clock=self._clock,
            on_cancel=partial(self._compensation_interrupted, entry),
        )
        if isinstance(outcome, msgspec.Raw):
            entry.state = "ok"
            self._counts.compensation(self._saga.name, step.name, "ok")
            _log.info("saga step compensated", **self._about(step.name, entry.attempts))
            return None
        return self._undoing_failed(step, entry, outcome)

    def _undoing_failed(self, step: Step[Any], entry: CompensationRecord, exc: Exception) -> float | None:
        entry.failures += 1
        entry.error = problem_of(exc)
        delay_s = step.compensate_retry.delay_s(entry.failures, exc, draw=self._draw)
        entry.state = "failed" if delay_s is None else "waiting"
        self._counts.compensation(self._saga.name, step.name, "failed" if delay_s is None else "retried")
        about = self._about(step.name, entry.attempts)
        if delay_s is None:
            _log.error("saga step could not be compensated", exc, **about)
            return None
        about.update(error_type=entry.error.type, error_text=entry.error.text, retry_in_s=round(delay_s, 3))
        _log.warning("compensation of a saga step failed, will retry", about)
        return delay_s

    # --- Crashes and cancellation -----------------------------------------------------------------------------------

    def _notice_crash(self) -> None:
        """See what the last run left open: the record says that it runs, and nobody runs it."""
        steps = {step.name: step for step in self._saga.steps}
        for entry in self._record.steps:
            if entry.state == "running":
                entry.state, entry.may_have_effect, entry.crashes = "waiting", True, entry.crashes + 1
                self._counts.step(self._saga.name, entry.name, "crashed")
                _log.warning(
                    "saga step is run again, its end was not recorded", self._about(entry.name, entry.attempts)
                )
                if entry.crashes >= MAX_CRASHES:
                    self._fail(steps[entry.name], entry, _crashed(entry.name))
        for undoing in self._record.compensations:
            if undoing.state == "running":
                undoing.state, undoing.crashes = "waiting", undoing.crashes + 1
                self._counts.compensation(self._saga.name, undoing.name, "crashed")
                if undoing.crashes >= MAX_CRASHES:
                    undoing.state, undoing.error = "failed", problem_of(_crashed(undoing.name))
                    _log.error(
                        "saga step could not be compensated",
                        _crashed(undoing.name),
                        **self._about(undoing.name, undoing.attempts),
                    )

    async def _step_interrupted(self, entry: StepRecord) -> None:
        entry.state, entry.may_have_effect = "waiting", True
        self._counts.step(self._saga.name, entry.name, "interrupted")
        await self._last_word()

    async def _compensation_interrupted(self, entry: CompensationRecord) -> None:
        entry.state = "waiting"
        self._counts.compensation(self._saga.name, entry.name, "interrupted")
        await self._last_word()

    async def _last_word(self) -> None:
        # Without it, the next run takes the interruption for a crash, which is no harm unless it happens three times.
        try:
            with self._clock.cancel_after(_LAST_WORD_S):
                await self._journal.save()
        except (SagaLostError, SagaUnavailableError) as exc:
            _log.info("saga was interrupted, and that could not be recorded", error_text=exc.message)

    # --- What is told -----------------------------------------------------------------------------------------------

    def _left_s(self) -> float | None:
        if self._saga.deadline_s is None:
            return None
        return self._record.started_at + self._saga.deadline_s - self._journal.time()

    def _too_late(self) -> SagaDeadlineError:
        limit = format_seconds(self._saga.deadline_s or 0)
        return SagaDeadlineError(f"saga {self._saga.name!r} took longer than its deadline of {limit}")

    def _about(self, step: str, attempt: int) -> dict[str, Any]:
        return {"saga": self._saga.name, "saga_id": self._record.id, "step": step, "attempt": attempt}

    def _tell_end(self) -> None:
        record = self._record
        self._counts.ended(record.saga, record.state)
        about: dict[str, Any] = {"saga": record.saga, "saga_id": record.id, "state": record.state.value}
        if record.state is SagaState.COMPENSATION_FAILED:
            failed = [entry.name for entry in record.compensations if entry.state == "failed"]
            _log.error("saga ended, and not everything is undone", **about, steps=failed)
        else:
            _log.info("saga ended", **about)


def _crashed(name: str) -> SagaStepCrashedError:
    return SagaStepCrashedError(
        f"step {name!r} was run {MAX_CRASHES} times, and its end was never recorded: its process died, was killed, or "
        "lost its store"
    )
