"""Snapshots, collecting functions, and the other faces."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import pytest

from tests.monitoring.metrics._reading import value
from undercroft._core.clock import VirtualClock, utc
from undercroft.monitoring import MetricsService, MetricTypeError, MetricValue, Reading, Registry


def test_snapshot_has_every_series(registry: Registry, clock: VirtualClock) -> None:
    registry.increment("orders", 2, {"shop": "1"})
    registry.gauge("waiting", 3)
    registry.observe("seconds", 1)
    registry.observe("seconds", 2)
    now = utc(clock.time())
    counter, gauge, histogram = registry.get_all_metrics()
    assert counter == MetricValue(name="orders", type="counter", value=2, labels={"shop": "1"}, timestamp=now)
    assert gauge == MetricValue(name="waiting", type="gauge", value=3, labels={}, timestamp=now)
    assert (histogram.type, histogram.value, histogram.sum, histogram.count) == ("histogram", 1.5, 3, 2)
    assert histogram.buckets is not None
    assert histogram.buckets[1.0] == 1


def test_metric_keeps_the_name_it_was_given_first(registry: Registry) -> None:
    registry.increment("http.requests_total")
    assert [metric.name for metric in registry.get_all_metrics()] == ["http_requests_total"]


def test_clearing_forgets_names_and_kinds(registry: Registry) -> None:
    registry.increment("orders", 1, {"shop": "1"})
    registry.clear_metrics()
    assert registry.get_all_metrics() == []
    assert registry.get_counter("orders", {"shop": "1"}) == 0
    registry.gauge("orders", 1)
    assert registry.get_gauge("orders") == 1


@pytest.mark.parametrize("kind", ["counter", "gauge", "histogram"])
def test_track_metric_records_in_the_kind_it_is_told(registry: Registry, kind: str) -> None:
    registry.track_metric("size", 2, {"a": "b"}, type=kind)  # type: ignore[arg-type]
    (metric,) = registry.get_all_metrics()
    assert (metric.type, metric.value, metric.labels) == (kind, 2, {"a": "b"})


def test_track_metric_counts_by_default(registry: Registry) -> None:
    registry.track_metric("orders")
    assert registry.get_counter("orders") == 1


def test_unknown_kind_names_the_near_one(registry: Registry) -> None:
    with pytest.raises(MetricTypeError) as caught:
        registry.track_metric("orders", type="count")  # type: ignore[arg-type]
    assert caught.value.near == ("counter",)


def test_service_is_a_registry_in_the_words_of_a_service(registry: Registry) -> None:
    service = MetricsService(registry)
    service.increment("orders", {"shop": "1"})
    service.gauge("waiting", 2)
    service.observe("seconds", 1)
    service.track_metric("sent", 3)
    with service.timer("seconds"):
        pass
    assert service.get_counter("orders", {"shop": "1"}) == registry.get_counter("orders", {"shop": "1"}) == 1
    assert (service.get_gauge("waiting"), service.get_histogram("seconds").count) == (2, 2)
    assert len(service.get_all_metrics()) == 4
    assert 'orders_total{shop="1"} 1.0' in service.get_metrics()
    service.clear_metrics()
    assert registry.get_all_metrics() == []


def test_collected_gauges_are_asked_for_at_each_exposition(registry: Registry) -> None:
    waiting = [1, 2]

    @registry.collect
    def lengths() -> Iterable[Reading]:
        yield Reading("waiting", len(waiting), {"queue": "a"})

    assert value(registry, "waiting", queue="a") == 2
    waiting.append(3)
    assert value(registry, "waiting", queue="a") == 3
    assert [metric.value for metric in registry.get_all_metrics()] == [3]


def test_collected_counters_give_their_total(registry: Registry) -> None:
    total = 5.0
    registry.collect(lambda: [Reading("sent", total, type="counter")])
    assert value(registry, "sent_total") == 5
    total = 7
    assert value(registry, "sent_total") == 7
    total = 2  # whoever counts began anew
    assert value(registry, "sent_total") == 9


def test_collecting_ends_when_it_is_told_to(registry: Registry) -> None:
    calls: list[int] = []
    end = registry.collect(lambda: calls.append(1))
    registry.render_openmetrics()
    end()
    registry.render_openmetrics()
    assert calls == [1]


def test_collecting_function_that_raises_is_told_once(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise OSError("away")

    registry.collect(broken)
    registry.collect(lambda: registry.gauge("waiting", 1))
    with caplog.at_level(logging.WARNING, "undercroft.monitoring"):
        for _ in range(3):
            assert value(registry, "waiting") == 1
    (record,) = caplog.records
    assert "broken could not be collected: OSError: away" in record.getMessage()
