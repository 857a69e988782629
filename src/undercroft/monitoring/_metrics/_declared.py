"""Metrics that say what they are: help, unit, labels, buckets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Generic, TypeVar, cast

from undercroft.monitoring._errors import MetricLabelError
from undercroft.monitoring._metrics._face import registry as process_registry
from undercroft.monitoring._metrics._metric import Across, declaration_of
from undercroft.monitoring._metrics._names import LabelSet, MetricType, label_set, label_text
from undercroft.monitoring._metrics._registry import Registry
from undercroft.monitoring._metrics._series import (
    CounterSeries,
    GaugeSeries,
    HistogramSeries,
    Series,
)
from undercroft.monitoring._metrics._timer import Timer

S = TypeVar("S", bound=Series)


class _Declared(Generic[S]):
    """A declared metric: cheap to make again with the same words, which gives the same metric."""

    kind: ClassVar[MetricType]

    def __init__(
        self,
        name: str,
        help: str,  # noqa: A002 - what the format calls it
        labels: Iterable[str],
        unit: str,
        max_series: int | None,
        registry: Registry | None,
        *,
        buckets: Iterable[float] | None = None,
        across: Across = "sum",
    ) -> None:
        declaration = declaration_of(
            self.kind,
            name,
            help=help,
            labels=labels,
            unit=unit,
            max_series=max_series,
            buckets=buckets,
            across=across,
        )
        self._registry = process_registry() if registry is None else registry
        self._metric = self._registry.declare(self.kind, name, declaration)
        self._names = declaration.labels or ()
        self._known: dict[object, S] = {}
        if not self._names:
            self._series_of(())

    @property
    def name(self) -> str:
        """What it is called, as it was first named; a counter may have its `_total` here or not."""
        return self._metric.name

    @property
    def label_names(self) -> tuple[str, ...]:
        """Its labels, in the order in which `labels` takes their values."""
        return self._names

    def labels(self, *values: object, **labels: object) -> S:
        """Return the series with these label values, given by name or in the declared order, to be kept and counted.

        Raises:
            MetricLabelError: They are not the declared ones; says which are missing or unknown.
        """
        if values:
            if labels or len(values) != len(self._names):
                raise MetricLabelError(
                    f"the metric {self.name!r} takes {len(self._names)} label values, and got {len(values)}"
                    f"{' and names' if labels else ''}",
                    hint=f"its labels: {', '.join(self._names) or 'none'}",
                )
            labels = dict(zip(self._names, values, strict=True))
        return self._series_of(label_set(labels))

    def _series(self, labels: dict[str, object]) -> S:
        # As at the registry: label sets as they are written, and the series each means.
        try:
            return self._known[(*labels, *labels.values())]
        except (KeyError, TypeError):
            pass
        written = (*labels, *map(label_text, labels.values()))
        known = self._known.get(written)
        if known is None:
            wanted = label_set(labels)
            known = self._series_of(wanted)
            if known is not self._metric.overflow and known.labels == wanted:  # what is redacted is not remembered
                if len(self._known) > 4 * len(self._metric.series):  # each label set in each order
                    self._known.clear()
                self._known[written] = known
        return known

    def _series_of(self, labels: LabelSet) -> S:
        return cast("S", self._registry.series(self._metric, labels))


class Counter(_Declared[CounterSeries]):
    """A declared counter. `name` may end in `_total`, and is exposed with it in any case.

    Made where it is counted, at import or in a constructor, as often as is convenient: the same declaration gives the
    same metric. A counter without labels is exposed from the beginning, as 0.

    Args:
        help: What it counts, in a sentence.
        labels: Names of its labels; all are needed each time.
        unit: `seconds`, `bytes`: what the name must end in, before `_total`.
        max_series: The most label sets; by default the registry's, 2 000.
        registry: By default that of the process.

    Raises:
        MetricDeclarationError: The declaration is wrong, or the metric is declared already, and otherwise.
        MetricLabelError: A label's name is not allowed.
        MetricNameError: The name is not allowed.
        MetricTypeError: The name is another kind of metric.
    """

    kind = "counter"

    def __init__(
        self,
        name: str,
        *,
        help: str = "",  # noqa: A002
        labels: Iterable[str] = (),
        unit: str = "",
        max_series: int | None = None,
        registry: Registry | None = None,
    ) -> None:
        super().__init__(name, help, labels, unit, max_series, registry)

    def increment(self, value: float = 1, /, **labels: object) -> None:
        """Add to the series with these labels.

        Raises:
            MetricLabelError: They are not the declared ones.
            MetricValueError: The value is negative, not finite, or no number.
        """
        self._series(labels).increment(value)


class Gauge(_Declared[GaugeSeries]):
    """A declared gauge. Made and shared like a `Counter`; not exposed before it is set.

    Args:
        across: What it is over several processes that share a directory: the `sum` of theirs, the `max` or `min`, the
            one set `last`, or `each` on its own, with the label `worker`. Only living processes count.

    Raises:
        MetricDeclarationError: The declaration is wrong, or the metric is declared already, and otherwise.
        MetricLabelError: A label's name is not allowed.
        MetricNameError: The name is not allowed.
        MetricTypeError: The name is another kind of metric.
    """

    kind = "gauge"

    def __init__(
        self,
        name: str,
        *,
        help: str = "",  # noqa: A002
        labels: Iterable[str] = (),
        unit: str = "",
        across: Across = "sum",
        max_series: int | None = None,
        registry: Registry | None = None,
    ) -> None:
        super().__init__(name, help, labels, unit, max_series, registry, across=across)

    def set(self, value: float, /, **labels: object) -> None:
        """Set the series with these labels.

        Raises:
            MetricLabelError: They are not the declared ones.
            MetricValueError: The value is no number.
        """
        self._series(labels).set(value)

    def increment(self, value: float = 1, /, **labels: object) -> None:
        """Add to the series with these labels; it begins at 0."""
        self._series(labels).increment(value)

    def decrement(self, value: float = 1, /, **labels: object) -> None:
        """Subtract from the series with these labels; it begins at 0."""
        self._series(labels).decrement(value)


class Histogram(_Declared[HistogramSeries]):
    """A declared histogram. Made and shared like a `Counter`.

    Args:
        buckets: Upper bounds, rising; `inf` is added. By default those of request durations, 5 ms to 10 s.

    Raises:
        MetricDeclarationError: The declaration is wrong, or the metric is declared already, and otherwise.
        MetricLabelError: A label's name is not allowed.
        MetricNameError: The name is not allowed.
        MetricTypeError: The name is another kind of metric.
    """

    kind = "histogram"

    def __init__(
        self,
        name: str,
        *,
        help: str = "",  # noqa: A002
        labels: Iterable[str] = (),
        unit: str = "",
        buckets: Iterable[float] | None = None,
        max_series: int | None = None,
        registry: Registry | None = None,
    ) -> None:
        super().__init__(name, help, labels, unit, max_series, registry, buckets=buckets)

    def observe(self, value: float, /, **labels: object) -> None:
        """Count a value in the series with these labels.

        Raises:
            MetricLabelError: They are not the declared ones.
            MetricValueError: The value is not finite, or no number.
        """
        self._series(labels).observe(value)

    def time(self, **labels: object) -> Timer:
        """Return what observes seconds in the series with these labels: around a block, or around a function."""
        return self._series(labels).time()
