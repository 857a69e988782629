"""What an action and a compensation are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

D = TypeVar("D")


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaContext(Generic[D]):
    """One run of one step. Immutable; lives as long as the run."""

    saga_id: str
    saga: str
    """The definition's name."""
    step: str
    attempt: int
    """Number of this run of the step, from 1. Runs that ended with their process count."""
    idempotency_key: str
    """The same for every run of this step of this saga: give it to whoever can recognise a repeated request.

    `<saga id>:<step>`; of a compensation `<saga id>:<step>:compensate`."""
    data: D = field(repr=False)
    """What the saga was started with."""
    results: Mapping[str, Any] = field(repr=False)
    """What the steps before this one returned, by their names, as JSON gives it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompensationContext(SagaContext[D]):
    """One run of one compensation. Immutable; lives as long as the run."""

    result: Any = field(default=None, repr=False)
    """What the step returned, as JSON gives it back; `None` too when it is uncertain whether the step was done."""
    is_uncertain: bool = False
    """The step failed or its process died, and it may have had its effect: find out, or undo what may not be there."""
