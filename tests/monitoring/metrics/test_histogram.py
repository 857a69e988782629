"""Histograms: buckets, never values."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.monitoring import Histogram, HistogramValue, MetricValueError, Registry

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)


def test_value_falls_into_the_first_bucket_that_holds_it(registry: Registry) -> None:
    Histogram("size", buckets=(1, 2), registry=registry)
    for value in (0.5, 1, 1.5, 2, 3):
        registry.observe("size", value)
    assert registry.get_histogram("size") == HistogramValue(buckets={1.0: 2, 2.0: 4, math.inf: 5}, sum=8.0, count=5)


def test_default_buckets_are_those_of_request_durations(registry: Registry) -> None:
    registry.observe("seconds", 0.2)
    bounds = list(registry.get_histogram("seconds").buckets)
    assert bounds[0] == 0.005
    assert bounds[-2:] == [10.0, math.inf]
    assert len(bounds) == 15


@given(st.lists(FINITE), st.lists(FINITE, unique=True, max_size=8).map(sorted))
def test_buckets_count_what_does_not_exceed_them(values: list[float], bounds: Sequence[float]) -> None:
    registry = Registry()
    histogram = Histogram("size", buckets=bounds, registry=registry)
    for value in values:
        histogram.observe(value)
    held = registry.get_histogram("size")
    assert held.count == len(values)
    assert held.sum == pytest.approx(sum(values), rel=1e-9, abs=1e-3)
    assert all(held.buckets[bound] == sum(value <= bound for value in values) for bound in held.buckets)


@given(st.lists(st.floats(0, 20), min_size=1), st.floats(0, 1))
def test_quantile_lies_in_the_bucket_of_the_value_at_that_rank(values: list[float], q: float) -> None:
    registry = Registry()
    for value in values:
        registry.observe("seconds", value)
    held = registry.get_histogram("seconds")
    exact = sorted(values)[max(0, math.ceil(q * len(values)) - 1)]
    bounds = [0.0, *held.buckets]
    low, high = next((low, high) for low, high in pairwise(bounds) if exact <= high)
    highest = bounds[-2]
    assert min(low, highest) <= held.quantile(q) <= min(high, highest)


def test_quantile_is_interpolated_as_prometheus_does() -> None:
    # histogram_quantile(0.9, …) of these buckets, by https://prometheus.io/docs/prometheus/latest/querying/functions/
    held = HistogramValue(buckets={1.0: 10, 2.0: 20, math.inf: 20}, sum=25.0, count=20)
    assert held.quantile(0.9) == pytest.approx(1.8)
    assert held.quantile(0.5) == 1.0
    assert held.quantile(0.25) == 0.5
    assert HistogramValue(buckets={1.0: 0, math.inf: 5}, sum=50.0, count=5).quantile(0.5) == 1.0


@pytest.mark.parametrize("count", [1, 2, 3])
def test_quantiles_of_few_values_are_not_off_by_one(registry: Registry, count: int) -> None:
    Histogram("size", buckets=range(1, 5), registry=registry)
    for value in range(1, count + 1):
        registry.observe("size", value)
    held = registry.get_histogram("size")
    assert held.quantile(1.0) == count
    assert held.quantile(1 / count) == 1.0


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan, 95])
def test_quantile_outside_of_0_to_1_is_refused(q: float) -> None:
    with pytest.raises(MetricValueError, match="between 0 and 1"):
        HistogramValue().quantile(q)


def test_empty_histogram_has_no_mean_and_no_quantile(registry: Registry) -> None:
    held = registry.get_histogram("seconds")
    assert held.buckets == {}
    assert math.isnan(held.mean)
    assert math.isnan(held.quantile(0.5))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "1", None])
def test_value_that_is_not_finite_is_refused(registry: Registry, value: object) -> None:
    registry.observe("seconds", 1)
    with pytest.raises(MetricValueError):
        registry.observe("seconds", value)  # type: ignore[arg-type]
    assert registry.get_histogram("seconds").count == 1


def test_many_values_take_no_more_memory_than_few(registry: Registry) -> None:
    registry.observe("seconds", 0.3)
    tracemalloc.start()
    try:
        for _ in range(50_000):
            registry.observe("seconds", 0.3)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 10_000
    assert registry.get_histogram("seconds").count == 50_001
