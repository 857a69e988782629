"""Counting is exact, however many threads count."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from undercroft.monitoring import Counter, Gauge, Histogram, Registry
from undercroft.monitoring._metrics._threads import locked

THREADS, EACH = 8, 20_000


@pytest.fixture(autouse=True)
def impatient_threads() -> Iterator[None]:
    """Let threads give way as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(work: Callable[[], None]) -> None:
    begin = threading.Barrier(THREADS)

    def run() -> None:
        begin.wait()
        work()

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("is_attached", [False, True])
def test_no_count_is_lost_between_threads(registry: Registry, directory: Path, is_attached: bool) -> None:
    if is_attached:
        registry.attach(directory)
    handle = Counter("handles", labels=("of",), registry=registry).labels("x")
    gauge = Gauge("moved", registry=registry)
    histogram = Histogram("seconds", registry=registry)

    def work() -> None:
        for number in range(EACH):
            registry.increment("by_name", 1, {"of": "x"})
            handle.increment(2)
            gauge.increment(1)
            histogram.observe(number % 3)

    in_threads(work)
    counted = THREADS * EACH
    assert registry.get_counter("by_name", {"of": "x"}) == counted
    assert handle.value == 2 * counted
    assert registry.get_gauge("moved") == counted
    assert registry.get_histogram("seconds").count == counted
    assert f'by_name_total{{of="x"}} {counted}.0' in registry.render_prometheus()


def test_series_made_by_many_threads_at_once_are_the_same_ones(registry: Registry) -> None:
    def work() -> None:
        for number in range(500):
            registry.increment("by_name", 1, {"of": number})

    in_threads(work)
    counted = registry.get_all_metrics()
    assert len(counted) == 500
    assert {metric.value for metric in counted} == {THREADS}


def test_lock_makes_any_function_exact() -> None:
    total = 0

    @locked
    def add() -> None:
        nonlocal total
        before = total
        for _ in range(3):  # gives way, were it not for the lock
            pass
        total = before + 1

    in_threads(lambda: [add() for _ in range(2000)] and None)
    assert total == THREADS * 2000
