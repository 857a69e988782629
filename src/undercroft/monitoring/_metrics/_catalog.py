"""The metrics of one registry: which names are taken, and by what; new series, as long as there is room for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from undercroft.monitoring._errors import MetricTypeError
from undercroft.monitoring._metrics._exemplars import Exemplars
from undercroft.monitoring._metrics._metric import Declaration, Metric
from undercroft.monitoring._metrics._names import LabelSet, MetricType, family_name, metric_name, names_of
from undercroft.monitoring._metrics._series import CounterSeries, GaugeSeries, HistogramSeries, Series

if TYPE_CHECKING:
    from undercroft._core.clock import Clock


class Sharing(Protocol):
    """Where series are kept for other processes to see."""

    def place(self, metric: Metric, series: Series, *, is_last: bool) -> bool:
        """Give a series its cells; `False` when there is no room.

        Args:
            is_last: It is the one that takes what finds no room, so the room kept for such may be used.
        """

    def describe(self, metric: Metric) -> None:
        """Tell other processes what a metric declares."""


class Catalog:
    """Metrics by name. `lock` is held for every change; it may be taken again by the thread that holds it."""

    def __init__(self, *, clock: Clock | None, max_series: int) -> None:
        self.lock = threading.RLock()
        self.metrics: dict[str, Metric] = {}
        self.max_series = max_series
        self.series_count = 0
        self.sharing: Sharing | None = None
        self.time: Callable[[], float] = time.time if clock is None else clock.time
        self.monotonic: Callable[[], float] = time.monotonic if clock is None else clock.monotonic
        self._taken: dict[str, str] = {}
        """Names of samples and families, and what each belongs to."""

    def find(self, kind: MetricType, name: object) -> Metric | None:
        """Return the metric; `None` when there is none.

        Raises:
            MetricNameError: The name is not allowed.
            MetricTypeError: There is one of another kind.
        """
        written = metric_name(name)
        metric = self.metrics.get(family_name(written, kind))
        if metric is None or metric.kind != kind:
            self._check_free(kind, written)
            return None
        return metric

    def obtain(self, kind: MetricType, name: object, declaration: Declaration | None = None) -> Metric:
        """Return the metric, made now if there is none.

        Raises:
            MetricDeclarationError: It is declared, and otherwise.
            MetricNameError: The name is not allowed.
            MetricTypeError: The name is taken by another kind of metric.
        """
        with self.lock:
            metric = self.find(kind, name)
            if metric is None:
                written = metric_name(name)
                metric = Metric(kind, written, family_name(written, kind), declaration)
                self._taken.update(dict.fromkeys(names_of(kind, metric.family), f"the {kind} {written!r}"))
                self.metrics[metric.family] = metric
            elif declaration is not None:
                metric.redeclare(declaration)
                if self.sharing is not None:
                    self.sharing.describe(metric)
            return metric

    def reserve(self, names: Iterable[str], owner: str) -> None:
        """Let no metric use `names`, which `owner` exposes.

        Raises:
            MetricTypeError: One of them is in use.
        """
        with self.lock:
            reserved = set(names)
            for name in sorted(reserved & self._taken.keys()):
                raise MetricTypeError(
                    f"the name {name!r} of {owner} is taken by {self._taken[name]}", hint="rename one of the two"
                )
            self._taken.update(dict.fromkeys(reserved, owner))

    def is_taken(self, name: str) -> bool:
        """Tell whether a family or a sample has this name."""
        return name in self._taken

    def add(self, metric: Metric, labels: LabelSet) -> Series:
        """Return the series with these labels, made now; the metric's overflow series if there is no room.

        Raises:
            MetricLabelError: The metric declares other labels.
        """
        metric.check(labels)
        with self.lock:
            existing = metric.series.get(labels)
            if existing is not None:
                return existing
            if len(metric.series) - (metric.overflow is not None) < (metric.declaration.max_series or self.max_series):
                series = self._new(metric, labels)
                if self._is_placed(metric, series, is_last=False):
                    return self._keep(metric, series)
            return metric.overflow or self._overflow(metric, labels)

    def clear(self) -> None:
        """Forget every metric that is not declared, and what the others counted."""
        with self.lock:
            for metric in list(self.metrics.values()):
                for series in metric.series.values():
                    series.clear()
                if not metric.is_declared:
                    del self.metrics[metric.family]
                    self.series_count -= len(metric.series)
                    for name in names_of(metric.kind, metric.family):
                        del self._taken[name]

    def all_series(self) -> list[tuple[Metric, Series]]:
        """Return every series, in the order in which they were made."""
        with self.lock:
            return [(metric, series) for metric in self.metrics.values() for series in metric.series.values()]

    def _check_free(self, kind: MetricType, name: str) -> None:
        for sample in names_of(kind, family_name(name, kind)):
            if sample in self._taken:
                raise MetricTypeError(
                    f"{name!r} cannot be a {kind}: the name {sample!r} is taken by {self._taken[sample]}",
                    hint="one name, one kind; rename one of the two",
                )

    def _overflow(self, metric: Metric, labels: LabelSet) -> Series:
        metric.overflow = self._new(metric, metric.overflow_labels(labels))
        self._is_placed(metric, metric.overflow, is_last=True)
        return self._keep(metric, metric.overflow)

    def _is_placed(self, metric: Metric, series: Series, *, is_last: bool) -> bool:
        return self.sharing is None or self.sharing.place(metric, series, is_last=is_last)

    def _keep(self, metric: Metric, series: Series) -> Series:
        metric.series[series.labels] = series
        self.series_count += 1
        return series

    def _new(self, metric: Metric, labels: LabelSet) -> Series:
        if metric.kind == "counter":
            return CounterSeries(metric.name, labels)
        if metric.kind == "gauge":
            return GaugeSeries(metric.name, labels)
        exemplars = Exemplars(len(metric.bounds) + 2, self.monotonic, self.time)
        return HistogramSeries(metric.name, labels, metric.bounds, exemplars)
