"""What a metric said at one moment, and what several such moments say about the time between them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

from undercroft.monitoring._metrics._values import HistogramValue

_MAX_SAMPLES = 500


class Metric(Protocol):
    """What alerts read of a metric's series: `undercroft.monitoring.MetricValue` has it."""

    @property
    def name(self) -> str: ...

    @property
    def type(self) -> str:
        """`counter`, `gauge` or `histogram`; series of other types are not read."""

    @property
    def value(self) -> float: ...

    @property
    def labels(self) -> Mapping[str, str]: ...

    @property
    def count(self) -> int | None:
        """Of a histogram: how many observations."""

    @property
    def sum(self) -> float | None:
        """Of a histogram: of all observations."""

    @property
    def buckets(self) -> Mapping[float, int] | None:
        """Of a histogram: how many observations were at most each bound; the last bound is infinity."""


class Reading(NamedTuple):
    """All matching series of one metric together."""

    type: str
    value: float = 0.0
    """Of a histogram: the sum of its observations."""
    observed: int = 0
    """Of a histogram: how many observations."""
    buckets: tuple[tuple[float, int], ...] = ()
    """Bound and how many were at most that, by bound."""


class Moment(NamedTuple):
    """A reading and when it was taken, in seconds of a monotonic clock."""

    at: float
    reading: Reading


def read(series: Iterable[Metric], labels: Mapping[str, str]) -> Reading | None:
    """Return those series of one metric that have all of `labels`, added up; `None` when there are none."""
    matching = [one for one in series if all(one.labels.get(key) == value for key, value in labels.items())]
    if not matching:
        return None
    if matching[0].type != "histogram":
        return Reading(matching[0].type, math.fsum(metric.value for metric in matching))
    buckets: dict[float, int] = {}
    for metric in matching:
        for bound, count in (metric.buckets or {}).items():
            buckets[bound] = buckets.get(bound, 0) + count
    return Reading(
        "histogram",
        math.fsum(metric.sum or 0.0 for metric in matching),
        sum(metric.count or 0 for metric in matching),
        tuple(sorted(buckets.items())),
    )


class Window:
    """The moments of the last `seconds`, and the last one before them. Bounded, however often one is added."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._moments: deque[Moment] = deque()

    def add(self, moment: Moment) -> None:
        """Add the newest moment. A metric that has become one of another type starts over."""
        moments = self._moments
        if moments and moments[-1].reading.type != moment.reading.type:
            moments.clear()
        # Read more often than the window needs: the one before is replaced instead of kept beside it.
        if len(moments) > 1 and moment.at - moments[-2].at < self._seconds / _MAX_SAMPLES:
            moments.pop()
        moments.append(moment)
        while len(moments) > 1 and moments[1].at <= moment.at - self._seconds:
            moments.popleft()

    @property
    def moments(self) -> Sequence[Moment]:
        """In order, the first of them at or before the window's beginning, if it reaches that far back."""
        return self._moments

    def within(self) -> list[Reading]:
        """Return the readings that were taken inside of the window."""
        begin = self._moments[-1].at - self._seconds if self._moments else 0.0
        return [moment.reading for moment in self._moments if moment.at >= begin]


def increase(moments: Sequence[Moment], of: Callable[[Reading], float]) -> float:
    """Return by how much a total grew. One that fell has started over from zero, as a restarted process's does."""
    totals = [of(moment.reading) for moment in moments]
    return math.fsum(after - before if after >= before else after for before, after in pairwise(totals))


def bucket_increase(moments: Sequence[Moment]) -> tuple[tuple[float, int], ...]:
    """Return a histogram's buckets as if only what came between the first and the last moment had been observed."""
    first, last = moments[0].reading, moments[-1].reading
    if last.observed < first.observed:  # it has started over
        return last.buckets
    before = dict(first.buckets)
    return tuple((bound, count - before.get(bound, 0)) for bound, count in last.buckets)


def quantile_of(buckets: Sequence[tuple[float, int]], quantile: float) -> float | None:
    """Return a quantile of a histogram, estimated as `HistogramValue` does; `None` when nothing was observed."""
    count = buckets[-1][1] if buckets else 0
    found = HistogramValue(buckets=dict(buckets), count=count).quantile(quantile)
    return None if math.isnan(found) else found
