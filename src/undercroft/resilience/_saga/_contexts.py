"""From a record to what an action, or a compensation, is given."""

from __future__ import annotations

from typing import Any

from undercroft.resilience._saga._context import CompensationContext, SagaContext
from undercroft.resilience._saga._records import CompensationRecord, SagaRecord, StepRecord


def context_of(record: SagaRecord, entry: StepRecord, data: Any) -> SagaContext[Any]:
    """Return what the action of a step is given."""
    return SagaContext(
        saga_id=record.id,
        saga=record.saga,
        step=entry.name,
        attempt=entry.attempts,
        idempotency_key=f"{record.id}:{entry.name}",
        data=data,
        results=record.results(),
    )


def compensation_context_of(record: SagaRecord, entry: CompensationRecord, data: Any) -> CompensationContext[Any]:
    """Return what the compensation of a step is given: the results that its action was given, and the action's own."""
    results = record.results()
    own = results.get(entry.name)
    names = [step.name for step in record.steps]
    before = names[: names.index(entry.name)]
    return CompensationContext(
        saga_id=record.id,
        saga=record.saga,
        step=entry.name,
        attempt=entry.attempts,
        idempotency_key=f"{record.id}:{entry.name}:compensate",
        data=data,
        results={name: results[name] for name in before},
        result=own,
        is_uncertain=entry.is_uncertain,
    )
