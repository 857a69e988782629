"""Percentiles that are exact, and durations in buckets that are near them."""

from __future__ import annotations

import math
import threading
from fractions import Fraction
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft._core.clock import VirtualClock, utc
from undercroft._core.durations import DurationError
from undercroft.monitoring import PerformanceReport, PerformanceTracker, TrackingError, percentiles
from undercroft.monitoring._tracking._sketch import Sketch

VALUES = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1)
QUANTILES = st.integers(0, 1000).map(lambda thousandth: thousandth / 1000)
DURATIONS = st.lists(st.floats(1e-6, 86_400), min_size=1)


@given(VALUES, QUANTILES)
def test_percentile_is_the_smallest_value_that_enough_values_do_not_exceed(values: list[float], q: float) -> None:
    found = percentiles(values, [q])[q]
    wanted = Fraction(str(q)) * len(values)
    assert found in values
    assert sum(value <= found for value in values) >= wanted
    assert not any(sum(value <= other for value in values) >= wanted for other in values if other < found)


@pytest.mark.parametrize(
    ("count", "q", "expected"),
    [
        (1, 0.0, 1),
        (1, 0.5, 1),
        (1, 1.0, 1),
        (2, 0.5, 1),
        (100, 0.95, 95),
        (100, 0.07, 7),
        (100, 0.29, 29),
        (10, 1.0, 10),
    ],
)
def test_position_is_exact_where_binary_fractions_are_not(count: int, q: float, expected: int) -> None:
    assert percentiles(range(1, count + 1), [q]) == {q: expected}


def test_values_of_the_caller_are_left_in_their_order() -> None:
    values = [3.0, 1.0, 2.0]
    assert percentiles(values) == {0.5: 2.0, 0.9: 3.0, 0.95: 3.0, 0.99: 3.0}
    assert values == [3.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("values", "quantiles", "problem"),
    [([], [0.5], "there are no values"), ([1.0, math.nan], [0.5], "not a number"), ([1.0], [95], "quantile 95 is not")],
)
def test_percentiles_that_there_are_not_are_refused(values: list[float], quantiles: list[float], problem: str) -> None:
    with pytest.raises(TrackingError, match=problem):
        percentiles(values, quantiles)


@given(DURATIONS, QUANTILES)
def test_quantile_of_a_sketch_is_within_two_percent_of_the_exact_one(durations: list[float], q: float) -> None:
    sketch = Sketch()
    for duration in durations:
        sketch.add(duration)
    assert sketch.quantile(q) == pytest.approx(percentiles(durations, [q])[q], rel=0.0201)


@given(st.lists(st.floats(0, 1e12), min_size=1))
def test_sketch_is_small_and_its_ends_are_exact(durations: list[float]) -> None:
    sketch = Sketch()
    for duration in durations:
        sketch.add(duration)
    assert (sketch.smallest, sketch.largest, sketch.count) == (min(durations), max(durations), len(durations))
    assert sketch.quantile(0) == min(durations)
    assert sketch.quantile(1) == max(durations)


def test_sketch_has_at_most_some_hundred_buckets() -> None:
    sketch = Sketch()
    for exponent in range(-1200, 1200):
        sketch.add(1.02**exponent)
    assert len(sketch._buckets) < 640


def test_report_is_exact_but_for_the_quantiles() -> None:
    tracker = PerformanceTracker()
    for number in range(1, 101):
        tracker.record("GET /orders/{id}", number / 100, has_failed=number > 90)
    [row] = tracker.report().operations
    assert (row.operation, row.count, row.failed_count) == ("GET /orders/{id}", 100, 10)
    assert (row.min_s, row.max_s) == (0.01, 1.0)
    assert row.mean_s == pytest.approx(0.505)
    assert (row.p50_s, row.p95_s, row.p99_s) == (
        pytest.approx(0.50, rel=0.0201),
        pytest.approx(0.95, rel=0.0201),
        pytest.approx(0.99, rel=0.0201),
    )


def test_operations_that_took_most_time_altogether_come_first() -> None:
    tracker = PerformanceTracker()
    tracker.record("rare and slow", "3s")
    for _ in range(100):
        tracker.record("often and quick", "100ms")
    assert [row.operation for row in tracker.report().operations] == ["often and quick", "rare and slow"]


def test_slow_operations_are_those_at_or_above_the_threshold_the_slowest_first() -> None:
    tracker = PerformanceTracker()
    for operation, duration in {"a": 0.5, "b": 1.0, "c": 2.0}.items():
        tracker.record(operation, duration)
    assert [row.operation for row in tracker.slow_operations()] == ["c", "b"]
    assert [row.operation for row in tracker.slow_operations("100ms")] == ["c", "b", "a"]
    assert tracker.slow_operations("3s") == []


def test_one_slow_run_in_a_hundred_does_not_make_an_operation_slow() -> None:
    tracker = PerformanceTracker()
    for number in range(100):
        tracker.record("a", 5.0 if number == 0 else 0.01)
    assert tracker.slow_operations("1s") == []
    assert [row.operation for row in tracker.slow_operations("1s", quantile=1)] == ["a"]


def test_operations_beyond_the_cap_are_counted_together() -> None:
    tracker = PerformanceTracker(max_operations=2)
    for number in range(1000):
        tracker.record(f"GET /orders/{number}", 0.1, has_failed=True)
    rows = {row.operation: (row.count, row.failed_count) for row in tracker.report().operations}
    assert rows == {"GET /orders/0": (1, 1), "GET /orders/1": (1, 1), "(others)": (998, 998)}


def test_cap_of_one_tells_one_operation_apart() -> None:
    tracker = PerformanceTracker(max_operations=1)
    for operation in ("a", "b", "a"):
        tracker.record(operation, 0.1)
    assert {row.operation: row.count for row in tracker.report().operations} == {"a": 2, "(others)": 1}


@pytest.mark.anyio
async def test_block_is_measured_and_one_that_raises_has_failed() -> None:
    clock = VirtualClock()
    tracker = PerformanceTracker(clock=clock)
    with tracker.measure("work"):
        await clock.advance("2s")
    with pytest.raises(KeyError), tracker.measure("work"):
        raise KeyError
    [row] = tracker.report().operations
    assert (row.count, row.failed_count, row.max_s, row.min_s) == (2, 1, 2.0, 0.0)


@pytest.mark.anyio
async def test_spans_are_measured_by_their_names() -> None:
    tracker = PerformanceTracker()
    tracker.on_end(SimpleNamespace(name="SELECT", start_time_ns=5, end_time_ns=1_500_000_005, status="error"))
    await tracker.flush()
    await tracker.aclose()
    [row] = tracker.report().operations
    assert (row.operation, row.count, row.failed_count, row.max_s) == ("SELECT", 1, 1, 1.5)


@pytest.mark.anyio
async def test_cleared_tracker_measures_from_then_on() -> None:
    clock = VirtualClock()
    tracker = PerformanceTracker(clock=clock)
    tracker.record("a", 1, has_failed=True)
    await clock.advance("1h")
    tracker.clear()
    assert tracker.report() == PerformanceReport(since=utc(clock.time()), operations=())
    assert msgspec.json.decode(msgspec.json.encode(tracker.report()), type=PerformanceReport) == tracker.report()


def test_runs_of_all_threads_are_counted() -> None:
    tracker = PerformanceTracker()

    def run() -> None:
        for _ in range(500):
            tracker.record("a", 0.1, has_failed=True)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [row] = tracker.report().operations
    assert (row.count, row.failed_count) == (4000, 4000)


def test_what_cannot_be_measured_is_refused() -> None:
    tracker = PerformanceTracker()
    with pytest.raises(DurationError):
        tracker.record("a", -1)
    with pytest.raises(TrackingError):
        tracker.slow_operations(quantile=95)
    with pytest.raises(TrackingError, match="max_operations 0"):
        PerformanceTracker(max_operations=0)
