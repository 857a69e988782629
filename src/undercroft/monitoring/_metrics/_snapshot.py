"""What a process counted, as values."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from itertools import accumulate

from undercroft.monitoring._metrics._catalog import Catalog
from undercroft.monitoring._metrics._metric import Metric
from undercroft.monitoring._metrics._series import HistogramSeries, Series
from undercroft.monitoring._metrics._values import HistogramValue, MetricValue


def values_of(catalog: Catalog) -> list[MetricValue]:
    """Return every series that was used."""
    now = datetime.fromtimestamp(catalog.time(), tz=UTC)
    return [_value(metric, series, now) for metric, series in catalog.all_series() if is_shown(series)]


def is_shown(series: Series) -> bool:
    """Tell whether a series was used, or is declared, since metrics were last cleared."""
    return not series.is_hidden or (series.kind != "gauge" and any(series.numbers()))


def histogram_value(series: HistogramSeries) -> HistogramValue:
    """Return a histogram's value: cumulative counts, as the exposition has them."""
    total, *counts = series.numbers()
    if not any(counts):
        return HistogramValue()
    bounds = (*series.bounds, math.inf)
    cumulative = [int(count) for count in accumulate(counts)]
    return HistogramValue(buckets=dict(zip(bounds, cumulative, strict=True)), sum=total, count=cumulative[-1])


def _value(metric: Metric, series: Series, now: datetime) -> MetricValue:
    labels = dict(series.labels)
    if not isinstance(series, HistogramSeries):
        return MetricValue(name=metric.name, type=metric.kind, value=series.numbers()[0], labels=labels, timestamp=now)
    held = histogram_value(series)
    return MetricValue(
        name=metric.name,
        type="histogram",
        value=held.mean if held.count else 0.0,
        labels=labels,
        timestamp=now,
        buckets=held.buckets,
        sum=held.sum,
        count=held.count,
    )
