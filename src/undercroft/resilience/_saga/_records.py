"""A saga as it is stored: one JSON document, written anew after every step.

`{"v": 1, "saga": name, "version": …, "id": …, "state": …, "data": …, "steps": […], "compensations": […], …}`; instants
are epoch seconds by the store's clock. `write` is another text in every write, so that a writer whose write got no
answer can recognise it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from undercroft._core.clock import utc
from undercroft._core.codec import to_json
from undercroft._core.errors import UndercroftError
from undercroft.logging import redact_text
from undercroft.resilience._saga._errors import SagaUnavailableError
from undercroft.resilience._saga._results import (
    CompensationOutcome,
    CompensationReport,
    SagaInfo,
    SagaProblem,
    SagaResult,
    SagaState,
    StepOutcome,
    StepReport,
)

FORMAT = 1
_ERROR_LIMIT = 2000
_NULL = msgspec.Raw(b"null")


class ProblemRecord(msgspec.Struct, frozen=True):
    """An error, with secrets in its text hidden."""

    type: str
    text: str


class RunRecord(msgspec.Struct, kw_only=True):
    """What steps and compensations have in common: something that is run, perhaps several times."""

    name: str
    attempts: int = 0
    failures: int = 0
    crashes: int = 0
    """Runs whose end was not recorded."""
    error: ProblemRecord | None = None


class StepRecord(RunRecord, kw_only=True):
    """A step that has begun. `running`: its end is not recorded; `waiting`: it will be tried again."""

    state: StepOutcome = "waiting"
    result: msgspec.Raw = _NULL
    may_have_effect: bool = False
    """A run of it did not return, and may have had its effect all the same."""


class CompensationRecord(RunRecord, kw_only=True):
    """The undoing of a step."""

    state: CompensationOutcome = "pending"
    is_uncertain: bool = False


class SagaRecord(msgspec.Struct, kw_only=True):
    """A saga."""

    v: int = FORMAT
    id: str
    saga: str
    version: int
    state: SagaState
    data: msgspec.Raw
    started_at: float
    updated_at: float
    job_id: str = ""
    """Of the job that drives it; another one leaves it alone. Empty: nobody but its writer does."""
    write: str = ""
    steps: list[StepRecord] = []
    compensations: list[CompensationRecord] = []
    failed_step: str | None = None
    error: ProblemRecord | None = None
    problem: str | None = None

    def step(self, name: str) -> StepRecord | None:
        """Return the record of a step, if it has begun."""
        return next((step for step in self.steps if step.name == name), None)

    def results(self) -> dict[str, Any]:
        """Return what the steps returned."""
        return {step.name: msgspec.json.decode(step.result) for step in self.steps if step.state == "done"}


_decoder = msgspec.json.Decoder(SagaRecord)


def decode_record(data: bytes) -> SagaRecord:
    """Read a stored saga.

    Raises:
        SagaUnavailableError: It is of a later format than this code knows, or damaged.
    """
    try:
        record = _decoder.decode(data)
    except msgspec.MsgspecError as exc:
        raise SagaUnavailableError(
            f"a stored saga cannot be read: {exc}", hint="it is damaged, or of a later release: run that release"
        ) from exc
    if record.v != FORMAT:
        raise SagaUnavailableError(
            f"a stored saga has format {record.v}, and this release knows {FORMAT}",
            hint="run the release that wrote it",
        )
    return record


def encode_record(record: SagaRecord) -> bytes:
    """Return a saga as it is stored."""
    return msgspec.json.encode(record)


def encode_result(result: Any) -> msgspec.Raw:
    """Return what a step returned as JSON.

    Raises:
        TypeError: It has no JSON form.
    """
    return msgspec.Raw(to_json(result))


def problem_of(exc: BaseException) -> ProblemRecord:
    """Return an error as it may be stored."""
    text = exc.message if isinstance(exc, UndercroftError) else str(exc)
    return ProblemRecord(type(exc).__name__, redact_text(text)[:_ERROR_LIMIT])


def result_of(record: SagaRecord) -> SagaResult:
    """Return what came of a saga."""
    return SagaResult(**_common(record))


def info_of(record: SagaRecord) -> SagaInfo:
    """Return a saga as users see it."""
    return SagaInfo(
        **_common(record),
        version=record.version,
        data=msgspec.json.decode(record.data),
        steps=tuple(
            StepReport(name=step.name, outcome=step.state, attempts=step.attempts, error=_problem(step.error))
            for step in record.steps
        ),
        problem=record.problem,
        started_at=utc(record.started_at),
        updated_at=utc(record.updated_at),
    )


def _common(record: SagaRecord) -> dict[str, Any]:
    return {
        "saga_id": record.id,
        "saga": record.saga,
        "state": record.state,
        "results": record.results(),
        "failed_step": record.failed_step,
        "error": _problem(record.error),
        "compensations": tuple(
            CompensationReport(
                name=compensation.name,
                outcome=compensation.state,
                attempts=compensation.attempts,
                is_uncertain=compensation.is_uncertain,
                error=_problem(compensation.error),
            )
            for compensation in record.compensations
        ),
    }


def _problem(problem: ProblemRecord | None) -> SagaProblem | None:
    return None if problem is None else SagaProblem(type=problem.type, text=problem.text)
