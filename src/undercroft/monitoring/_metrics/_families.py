"""What is exposed, between the numbers and the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Protocol

from undercroft.monitoring._metrics._catalog import Catalog
from undercroft.monitoring._metrics._exemplars import Exemplar
from undercroft.monitoring._metrics._metric import WORKER, Metric
from undercroft.monitoring._metrics._names import MetricType
from undercroft.monitoring._metrics._series import HistogramSeries, Series
from undercroft.monitoring._metrics._snapshot import is_shown


@dataclass(slots=True)
class Row:
    """One series."""

    labels: str
    """As they are written, without braces."""
    numbers: Sequence[float]
    """A counter's or gauge's value; of a histogram the sum, then each bucket's own count."""
    exemplars: Mapping[int, Exemplar] = field(default_factory=dict)
    """Of a histogram, by the place of the bucket in `numbers`."""


@dataclass(slots=True)
class Family:
    """One metric with all its series."""

    kind: MetricType
    name: str
    """Of the family: a counter's without `_total`."""
    help: str
    unit: str
    bounds: tuple[float, ...]
    rows: list[Row]


class Source(Protocol):
    """Another library's metrics, which it writes itself."""

    @property
    def owner(self) -> str:
        """What it is called in messages."""

    def names(self) -> set[str]:
        """Return the names of all its families and samples."""

    def text(self, taken: AbstractSet[str]) -> str:
        """Return them in Prometheus' text format, without families one of whose names is `taken`."""

    def openmetrics(self, taken: AbstractSet[str]) -> str:
        """Return them in OpenMetrics 1.0, without `# EOF`, and without families one of whose names is `taken`."""


def own_families(catalog: Catalog) -> list[Family]:
    """Return what this process counted, by name."""
    with catalog.lock:
        families = [
            family_of(metric, [_row(metric, series) for series in metric.series.values() if is_shown(series)])
            for metric in catalog.metrics.values()
        ]
    return sorted((family for family in families if family.rows), key=lambda family: family.name)


def family_of(metric: Metric, rows: list[Row]) -> Family:
    """Return the family of a metric of this process."""
    return Family(metric.kind, metric.family, metric.help, metric.declaration.unit, metric.bounds, rows)


def _row(metric: Metric, series: Series) -> Row:
    if isinstance(series, HistogramSeries):
        return Row(series.text, series.numbers(), dict(series.exemplars.kept))
    if metric.kind == "gauge" and metric.declaration.across == "each":
        return Row(with_worker(series.text, 0), series.numbers())
    return Row(series.text, series.numbers())


def with_worker(labels: str, slot: int) -> str:
    """Add the label that tells processes apart."""
    return f'{labels}{"," if labels else ""}{WORKER}="{slot}"'
