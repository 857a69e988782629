"""An alert's rule as a value, and what it measures."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, get_args

from undercroft._core.durations import Duration, DurationError, to_seconds
from undercroft._core.errors import near_names
from undercroft.monitoring._tracking._errors import AlertRuleError
from undercroft.monitoring._tracking._readings import (
    Moment,
    Reading,
    Window,
    bucket_increase,
    increase,
    quantile_of,
)

AlertOp = Literal["gt", "gte", "lt", "lte", "eq"]
AlertMeasure = Literal["rate", "increase", "mean", "min", "max", "last", "p50", "p90", "p95", "p99"]

_OPS: Mapping[str, Callable[[float, float], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "eq": operator.eq,
}
_BY_TYPE: Mapping[str, tuple[AlertMeasure, ...]] = {
    "counter": ("rate", "increase", "last"),
    "gauge": ("mean", "min", "max", "last"),
    "histogram": ("p95", "p50", "p90", "p99", "mean", "rate", "increase"),
}
"""What can be measured of each type; the first is what a rule without `measure` does."""


class AlertSeverity(StrEnum):
    """How bad it is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class AlertRule:
    """When to alert. A value: evaluated by `Alerts`, registered nowhere.

        AlertRule("checkout slow", "checkout_seconds", "gt", 1.5, window="5m", for_="2m", severity="critical")

    Raises:
        AlertRuleError: An argument cannot be used; the message names it.
    """

    name: str
    """Of the alert; one rule for each name."""
    metric: str
    op: AlertOp
    """How the value is compared with `threshold`: above, at or above, below, at or below, equal."""
    threshold: float
    window: Duration = field(default="5m", kw_only=True)
    """The time that the value is measured over, more than zero."""
    for_: Duration = field(default=0, kw_only=True)
    """How long the comparison must hold before it fires."""
    severity: AlertSeverity | Literal["info", "warning", "critical"] = field(default="warning", kw_only=True)
    labels: Mapping[str, str] | None = field(default=None, kw_only=True)
    """Only series with these labels. Those that match are added up: name every label to watch one series."""
    measure: AlertMeasure | None = field(default=None, kw_only=True)
    """What is measured over the window.

    - counters: `rate` (per second, the default), `increase`, `last` (the total)
    - gauges: `mean` (the default), `min`, `max`, `last`
    - histograms: `p95` (the default), `p50`, `p90`, `p99`, `mean`, and `rate` and `increase` of the observations
    """

    def __post_init__(self) -> None:
        if not str(self.name).strip():
            raise AlertRuleError(f"an alert rule needs a name, and {self.name!r} is none")
        _require_known(self.name, "op", self.op, tuple(_OPS))
        _require_known(self.name, "severity", self.severity, tuple(AlertSeverity))
        if self.measure is not None:
            _require_known(self.name, "measure", self.measure, get_args(AlertMeasure))
        if not _is_finite(self.threshold):
            raise AlertRuleError(f"alert rule {self.name!r}: the threshold {self.threshold!r} is not a finite number")
        try:
            window_s, _ = self.window_s, self.for_s
        except DurationError as exc:
            raise AlertRuleError(f"alert rule {self.name!r}: {exc.message}", hint=exc.hint) from None
        if not window_s:
            raise AlertRuleError(
                f"alert rule {self.name!r}: nothing can be measured over a window of zero",
                hint='measure="last" compares the newest value, over any window',
            )

    @property
    def window_s(self) -> float:
        """The window in seconds."""
        return to_seconds(self.window, name="window")

    @property
    def for_s(self) -> float:
        """How long it must hold, in seconds."""
        return to_seconds(self.for_, name="for_")

    def holds(self, value: float) -> bool:
        """Tell whether `value` is one to alert about. Not-a-number never is."""
        return _OPS[self.op](value, self.threshold)

    def measure_for(self, type_: str) -> AlertMeasure:
        """Return what is measured of a metric of this type.

        Raises:
            AlertRuleError: A metric of this type has no such measure.
        """
        possible = _BY_TYPE.get(type_, ())
        measure = self.measure or (possible[0] if possible else None)
        if measure is None or measure not in possible:
            raise AlertRuleError(
                f"alert rule {self.name!r}: a {type_} has no {measure or 'measure'}",
                hint=f"{self.metric} is a {type_}; measures: {', '.join(possible) or 'none'}",
            )
        return measure


def measured(measure: str, window: Window) -> float | None:
    """Return the value of a measure over a window; `None` as long as there is not enough to tell.

    A rate is taken over the time that was seen, which is shorter than the window soon after the start.
    """
    moments = window.moments
    if not moments:
        return None
    readings = window.within()
    if measure == "last":
        return readings[-1].value
    if moments[-1].reading.type == "gauge":
        return _of_gauge(measure, [reading.value for reading in readings])
    return _of_totals(measure, moments) if len(moments) > 1 else None


def _of_gauge(measure: str, values: Sequence[float]) -> float:
    if measure == "mean":
        return math.fsum(values) / len(values)
    return min(values) if measure == "min" else max(values)


def _of_totals(measure: str, moments: Sequence[Moment]) -> float | None:
    is_histogram = moments[-1].reading.type == "histogram"
    grown = increase(moments, _count if is_histogram else _value)
    if measure == "increase":
        return grown
    if measure == "rate":
        return grown / (moments[-1].at - moments[0].at)
    if measure == "mean":
        return increase(moments, _value) / grown if grown else None
    return quantile_of(bucket_increase(moments), int(measure.removeprefix("p")) / 100)


def _value(reading: Reading) -> float:
    return reading.value


def _count(reading: Reading) -> float:
    return reading.observed


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _require_known(rule: str, what: str, value: object, known: Sequence[str]) -> None:
    if value not in known:
        raise AlertRuleError(
            f"alert rule {rule!r}: {what} {value!r} is not known",
            near=near_names(str(value), known),
            hint=f"known: {', '.join(known)}",
        )
