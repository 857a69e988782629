"""Labels that vary without end make no metric without end."""

from __future__ import annotations

import logging
import random
import tracemalloc

import pytest

from tests.monitoring.metrics._reading import samples, value
from undercroft.monitoring import Counter, MetricValueError, Registry

OVERFLOWED = "undercroft_metrics_overflowed_total"


def test_hundred_thousand_paths_are_two_thousand_series_and_one(caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry()
    paths = random.Random(5)
    with caplog.at_level(logging.WARNING, "undercroft.monitoring"):
        for _ in range(80_000):
            registry.increment("requests", 1, {"path": f"/{paths.getrandbits(60)}"})
        tracemalloc.start()
        for _ in range(20_000):
            registry.increment("requests", 1, {"path": f"/{paths.getrandbits(60)}"})
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert taken < 100_000
    requests = {labels: count for (name, labels), count in samples(registry).items() if name == "requests_total"}
    assert len(requests) == 2001
    assert sum(requests.values()) == 100_000
    assert registry.get_counter("requests", {"path": "__overflow__"}) == 98_000
    assert registry.get_counter(OVERFLOWED, {"metric": "requests"}) == 98_000
    assert len(caplog.records) == 1
    assert "too many label sets (2000)" in caplog.records[0].getMessage()


def test_known_label_sets_are_counted_on_their_own_after_the_overflow() -> None:
    registry = Registry(max_series=2)
    for path in ("a", "b", "c", "d", "a", "b"):
        registry.increment("requests", 1, {"path": path})
    assert value(registry, "requests_total", path="a") == 2
    assert value(registry, "requests_total", path="b") == 2
    assert value(registry, "requests_total", path="__overflow__") == 2


def test_every_kind_overflows() -> None:
    registry = Registry(max_series=1)
    for of in ("a", "b", "c"):
        registry.gauge("waiting", 5, {"of": of})
        registry.observe("seconds", 1, {"of": of})
    assert registry.get_gauge("waiting", {"of": "__overflow__"}) == 5
    assert registry.get_histogram("seconds", {"of": "__overflow__"}).count == 2


def test_label_names_that_vary_make_one_series_too() -> None:
    registry = Registry(max_series=10)
    for number in range(100):
        registry.increment("requests", 1, {f"label_{number}": "x"})
    assert len([metric for metric in registry.get_all_metrics() if metric.name == "requests"]) == 11


def test_orders_of_labels_take_no_memory_without_end() -> None:
    registry = Registry()
    names = [f"l{number}" for number in range(8)]
    shuffled = random.Random(1)
    for _ in range(20_000):
        shuffled.shuffle(names)
        registry.increment("requests", 1, dict.fromkeys(names, "x"))
    assert registry.get_counter("requests", dict.fromkeys(names, "x")) == 20_000
    assert len(registry._counters) < 1100


def test_metric_declares_a_cap_of_its_own() -> None:
    registry = Registry()
    requests = Counter("requests", labels=("path",), max_series=1, registry=registry)
    for path in ("a", "b", "c"):
        requests.increment(path=path)
        requests.labels(path).increment()
    assert value(registry, "requests_total", path="a") == 2
    assert value(registry, "requests_total", path="__overflow__") == 4


def test_long_label_values_are_cut() -> None:
    registry = Registry()
    registry.increment("requests", 1, {"path": "x" * 5000})
    assert registry.get_counter("requests", {"path": "x" * 1023 + "…"}) == 1


def test_cap_is_at_least_one() -> None:
    with pytest.raises(MetricValueError, match="at least 1"):
        Registry(max_series=0)
