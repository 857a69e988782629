"""What reading metrics gives: values, all frozen."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from undercroft.monitoring._errors import MetricValueError
from undercroft.monitoring._metrics._names import MetricType


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramValue:
    """What one series of a histogram holds: how many values there were, by bucket, and their sum. Never the values."""

    buckets: Mapping[float, int] = field(default_factory=dict)
    """For each upper bound, `inf` the last, how many values do not exceed it. Empty when nothing was ever observed."""
    sum: float = 0.0
    count: int = 0

    @property
    def mean(self) -> float:
        """The average; NaN when there is none."""
        return self.sum / self.count if self.count else math.nan

    def quantile(self, q: float) -> float:
        """Estimate the value that the share `q` of the values does not exceed; NaN when there are none.

        As Prometheus' `histogram_quantile` does: values are taken to be spread evenly within a bucket, the lowest
        bucket to begin at 0 when its bound is positive; beyond the highest bound the answer is that bound.

        Raises:
            MetricValueError: `q` is not between 0 and 1.
        """
        if not 0 <= q <= 1:
            raise MetricValueError(f"a quantile lies between 0 and 1, not at {q!r}", hint="0.95 for 95 %")
        if not self.count:
            return math.nan
        rank = q * self.count
        bounds = list(self.buckets)
        at = next(index for index, bound in enumerate(bounds) if 0 < self.buckets[bound] >= rank)
        if bounds[at] == math.inf:
            return bounds[at - 1] if at else math.nan
        return self._within(bounds, at, rank)

    def _within(self, bounds: list[float], at: int, rank: float) -> float:
        high = bounds[at]
        if not at and high <= 0:
            return high
        low, below = (bounds[at - 1], self.buckets[bounds[at - 1]]) if at else (0.0, 0)
        here = self.buckets[high] - below
        return low + (high - low) * (rank - below) / here


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricValue:
    """One series of one metric, as this process has counted it at `timestamp`."""

    name: str
    type: MetricType
    value: float
    """A counter's or a gauge's value; a histogram's mean, 0 when nothing was observed."""
    labels: Mapping[str, str]
    timestamp: datetime
    """Aware, UTC."""
    buckets: Mapping[float, int] | None = None
    """A histogram's: see `HistogramValue.buckets`. Other kinds have `None` here, and in the two fields below."""
    sum: float | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a collecting function found: a gauge's value, or how far a counter has come that someone else counts."""

    name: str
    value: float
    labels: Mapping[str, object] | None = None
    type: Literal["gauge", "counter"] = "gauge"


Collector = Callable[[], Iterable[Reading] | None]
"""Called before each exposition; gives readings, or sets metrics itself and gives nothing."""
