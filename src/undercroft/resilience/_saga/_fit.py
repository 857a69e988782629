"""Whether a stored saga can go on by a definition, which may be of another release than the one that began it."""

from __future__ import annotations

from typing import Any

from undercroft._core.errors import InvalidDataError
from undercroft.resilience._saga._records import CompensationRecord, SagaRecord
from undercroft.resilience._saga._results import SagaState
from undercroft.resilience._saga._saga import Saga


def misfit(saga: Saga[Any], record: SagaRecord) -> str | None:
    """Say why a saga cannot go on by this definition; `None`: it can.

    While it runs, the steps that have begun must be the definition's first, in its order. While it is compensated, the
    steps that are to be undone must be there, and know how. What it was started with must fit the schema.
    """
    try:
        saga.read_data(bytes(record.data))
    except InvalidDataError as exc:
        return f"its data does not fit the schema any more: {exc.message}"
    if record.state is SagaState.COMPENSATING:
        return _cannot_undo(saga, record.compensations)
    begun = [step.name for step in record.steps]
    defined = [step.name for step in saga.steps]
    if begun != defined[: len(begun)]:
        return (
            f"its steps {', '.join(begun)} have begun, and the definition's are {', '.join(defined)}: "
            "give the changed saga a new version, and keep the old one until its sagas have ended"
        )
    return None


def _cannot_undo(saga: Saga[Any], compensations: list[CompensationRecord]) -> str | None:
    able = {step.name for step in saga.steps if step.compensate is not None}
    missing = [c.name for c in compensations if c.state not in ("ok", "skipped") and c.name not in able]
    return f"the definition cannot undo {', '.join(missing)} any more" if missing else None
