"""What became of a saga, as users see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from undercroft.resilience._saga._errors import SagaFailedError


class SagaState(StrEnum):
    """Where a saga is in its life."""

    RUNNING = "running"
    """Its steps are being done."""
    COMPLETED = "completed"
    """Every step is done."""
    COMPENSATING = "compensating"
    """A step failed, and those before it are being undone."""
    COMPENSATED = "compensated"
    """A step failed, and everything that was done is undone."""
    COMPENSATION_FAILED = "compensation_failed"
    """A step failed, and not everything could be undone: somebody has to look at it. `Sagas.resume` tries again."""

    @property
    def is_final(self) -> bool:
        """Whether a saga in this state is at its end."""
        return self not in (SagaState.RUNNING, SagaState.COMPENSATING)


StepOutcome = Literal["running", "waiting", "done", "failed"]
CompensationOutcome = Literal["pending", "running", "waiting", "ok", "failed", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaProblem:
    """An error as it is stored: secrets and personal data in its text are hidden."""

    type: str
    """Class name."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What became of one step that has begun."""

    name: str
    outcome: StepOutcome
    attempts: int
    """How often it has begun."""
    error: SagaProblem | None
    """The last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompensationReport:
    """What became of one compensation."""

    name: str
    """The step's."""
    outcome: CompensationOutcome
    """`skipped`: the step has no compensation, or needs none."""
    attempts: int
    is_uncertain: bool
    """It undid what may not have been done."""
    error: SagaProblem | None
    """The last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaResult:
    """What came of a saga. Immutable."""

    saga_id: str
    saga: str
    state: SagaState
    results: Mapping[str, Any] = field(repr=False)
    """What the steps returned, by their names, as JSON gives it back; also of those that were undone."""
    failed_step: str | None
    error: SagaProblem | None
    """Why it did not complete."""
    compensations: tuple[CompensationReport, ...]
    """In the order in which they run: the reverse of the steps'."""

    @property
    def is_completed(self) -> bool:
        """Whether every step is done."""
        return self.state is SagaState.COMPLETED

    def require_completed(self) -> SagaResult:
        """Return this result of a saga that completed.

        Raises:
            SagaFailedError: It did not.
        """
        if self.is_completed:
            return self
        raise failure_of(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaInfo(SagaResult):
    """A saga as it is stored. Immutable: look again for what became of it since."""

    version: int
    """Of its definition."""
    data: Any = field(repr=False)
    """What it was started with, as JSON gives it back."""
    steps: tuple[StepReport, ...]
    """Those that have begun, in order."""
    problem: str | None
    """Why it does not move, though it is not at its end: a worker that knows its definition is missing, as a rule."""
    started_at: datetime
    updated_at: datetime


def failure_of(result: SagaResult) -> SagaFailedError:
    """Return the error of a saga that did not complete."""
    why = f"{result.error.type}: {result.error.text}" if result.error else "it has not ended"
    failed = [report.name for report in result.compensations if report.outcome == "failed"]
    undone = f"; not undone: {', '.join(failed)}" if failed else ""
    return SagaFailedError(
        f"saga {result.saga!r} ({result.saga_id}) is {result.state}: step {result.failed_step!r} failed with "
        f"{why}{undone}",
        result=result,
        hint="mend what keeps the compensation from its work, then resume the saga" if failed else None,
    )
