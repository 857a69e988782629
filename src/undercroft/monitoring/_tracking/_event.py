"""What happened to an alert, for those who are notified."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from undercroft._core.durations import format_seconds
from undercroft.monitoring._tracking._rule import AlertSeverity

_WORDS = {"gt": "above", "gte": "at or above", "lt": "below", "lte": "at or below", "eq": "equal to"}


class AlertState(StrEnum):
    """Where an alert stands."""

    OK = "ok"
    PENDING = "pending"
    """It holds, but not for as long as the rule's `for_`."""
    FIRING = "firing"


class AlertEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An alert began or ended. Has a JSON form; its text says it in a line."""

    id: str
    """The same for each attempt to deliver it: a receiver can tell by it what it has already."""
    alert: str
    """The rule's name."""
    state: AlertState
    """`firing`, or `ok` when it is resolved."""
    severity: AlertSeverity
    metric: str
    measure: str
    op: str
    threshold: float
    window_s: float
    value: float
    """What was measured when it began or ended."""
    labels: Mapping[str, str] = {}
    at: datetime
    since: datetime
    """When it began to hold; with `ok`, when it had begun to."""

    @property
    def is_firing(self) -> bool:
        """Whether it began; otherwise it ended."""
        return self.state is AlertState.FIRING

    def __str__(self) -> str:
        labels = ", ".join(f"{key}={value}" for key, value in sorted(self.labels.items()))
        return (
            f"{self.alert}: {'firing' if self.is_firing else 'resolved'} ({self.severity}); "
            f"{self.metric}{f'{{{labels}}}' if labels else ''} {self.measure} over {format_seconds(self.window_s)} "
            f"is {self.value:g}, alert when {_WORDS[self.op]} {self.threshold:g}"
        )


class AlertStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where one alert stands now. Has a JSON form."""

    alert: str
    severity: AlertSeverity
    state: AlertState = AlertState.OK
    value: float | None = None
    """What was measured last; `None` when there was nothing to measure."""
    since: datetime | None = None
    """When it began to hold, if it does."""
    problem: str | None = None
    """Why nothing was measured: no such metric, no data yet, a measure that its type does not have."""
