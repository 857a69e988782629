"""Metrics that say what they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.monitoring.metrics._reading import openmetrics_families, samples, value
from undercroft.monitoring import (
    Counter,
    Gauge,
    Histogram,
    MetricDeclarationError,
    MetricLabelError,
    MetricTypeError,
    MetricValueError,
    Registry,
)


def test_declared_counter_is_counted_by_label_names(registry: Registry) -> None:
    orders = Counter("orders", help="Orders.", labels=("shop", "kind"), registry=registry)
    orders.increment(shop="1", kind="new")
    orders.increment(2, kind="new", shop=1)
    orders.labels("1", "new").increment(3)
    orders.labels(kind="new", shop="1").increment(4)
    assert registry.get_counter("orders", {"shop": "1", "kind": "new"}) == 10
    assert orders.labels("1", "new").value == 10


def test_label_may_be_called_value(registry: Registry) -> None:
    Counter("orders", labels=("value",), registry=registry).increment(2, value="x")
    assert registry.get_counter("orders", {"value": "x"}) == 2


def test_gauge_is_set_and_moved(registry: Registry) -> None:
    waiting = Gauge("waiting", labels=("queue",), registry=registry)
    waiting.set(3, queue="a")
    waiting.increment(queue="a")
    waiting.decrement(2, queue="a")
    waiting.labels("b").decrement()
    assert waiting.labels("a").value == 2
    assert registry.get_gauge("waiting", {"queue": "b"}) == -1


def test_histogram_times_blocks_and_functions(registry: Registry) -> None:
    seconds = Histogram("seconds", labels=("what",), registry=registry)
    with seconds.time(what="block"):
        pass

    @seconds.time(what="function")
    def measured() -> int:
        return 5

    assert measured() == measured() == 5
    assert registry.get_histogram("seconds", {"what": "block"}).count == 1
    assert registry.get_histogram("seconds", {"what": "function"}).count == 2


def test_help_and_unit_are_exposed(registry: Registry) -> None:
    Counter("sent_bytes_total", help='Bytes "sent"\\\nto shops.', unit="bytes", registry=registry)
    family = openmetrics_families(registry)["sent_bytes"]
    assert (family.documentation, family.unit, family.type) == ('Bytes "sent"\\\nto shops.', "bytes", "counter")


def test_help_that_utf8_cannot_say_is_replaced(registry: Registry, tmp_path: Path) -> None:
    registry.attach(tmp_path)
    Counter("orders", help="a\ud800b", registry=registry)
    assert "a\ufffd" in registry.render_openmetrics().encode().decode()


def test_same_declaration_is_the_same_metric(registry: Registry) -> None:
    first = Counter("orders_total", help="Orders.", labels=("shop",), registry=registry)
    second = Counter("orders_total", help="Orders.", labels=["shop"], registry=registry)
    first.increment(shop="1")
    second.increment(shop="1")
    assert first.labels("1") is second.labels("1")
    assert first.labels("1").value == 2


def test_other_declaration_is_refused_and_told_apart(registry: Registry) -> None:
    Counter("orders", help="Orders.", labels=("shop",), registry=registry)
    with pytest.raises(MetricDeclarationError, match=r"labels was \('shop',\), now \('shop', 'kind'\)"):
        Counter("orders", help="Orders.", labels=("shop", "kind"), registry=registry)
    with pytest.raises(MetricDeclarationError, match="help was"):
        Counter("orders", help="Others.", labels=("shop",), registry=registry)


def test_declaration_of_another_kind_is_refused(registry: Registry) -> None:
    Counter("orders", registry=registry)
    with pytest.raises(MetricTypeError):
        Gauge("orders", registry=registry)


def test_declared_labels_are_strict_everywhere(registry: Registry) -> None:
    orders = Counter("orders", labels=("method", "status"), registry=registry)
    for use in (
        lambda: orders.increment(methd="GET", status="200"),
        lambda: registry.increment("orders", 1, {"methd": "GET", "status": "200"}),
        lambda: registry.get_counter("orders", {"methd": "GET", "status": "200"}),
        lambda: orders.labels(methd="GET", status="200"),
    ):
        for _ in range(2):
            with pytest.raises(MetricLabelError, match="has no 'methd' and needs 'method'") as caught:
                use()
            assert caught.value.near == ("method",)
            assert caught.value.hint == "its labels: method, status"
    with pytest.raises(MetricLabelError, match="takes 2 label values, and got 1"):
        orders.labels("GET")
    with pytest.raises(MetricLabelError, match="and names"):
        orders.labels("GET", status="200")
    with pytest.raises(MetricLabelError, match="needs 'method', 'status'"):
        orders.increment()


def test_declaring_after_use_takes_over_what_was_counted(registry: Registry) -> None:
    registry.increment("orders", 2, {"shop": "1"})
    Counter("orders", help="Orders.", labels=("shop",), registry=registry).increment(shop="1")
    assert registry.get_counter("orders", {"shop": "1"}) == 3
    assert "# HELP orders_total Orders." in registry.render_prometheus()


def test_declaring_after_another_use_is_refused(registry: Registry) -> None:
    registry.increment("orders", {"shop": "1"})
    with pytest.raises(MetricDeclarationError, match="was used with the labels shop before it was declared with kind"):
        Counter("orders", labels=("kind",), registry=registry)
    registry.observe("seconds", 1)
    with pytest.raises(MetricDeclarationError, match="buckets"):
        Histogram("seconds", buckets=(1, 2), registry=registry)


WRONG: list[tuple[str, Callable[[Registry], object]]] = [
    ("unit", lambda registry: Counter("sent_total", unit="bytes", registry=registry)),
    ("twice", lambda registry: Counter("sent", labels=("a", "a"), registry=registry)),
    ("not text", lambda registry: Counter("sent", labels="shop", registry=registry)),
    ("at least 1", lambda registry: Counter("sent", max_series=0, registry=registry)),
    ("do not rise", lambda registry: Histogram("sent", buckets=(1, 1), registry=registry)),
    ("do not rise", lambda registry: Histogram("sent", buckets=(float("nan"),), registry=registry)),
    ("are numbers", lambda registry: Histogram("sent", buckets=("1",), registry=registry)),  # type: ignore[list-item]
    ("'worker'", lambda registry: Gauge("sent", labels=("worker",), across="each", registry=registry)),
    ("by 'summ'", lambda registry: Gauge("sent", across="summ", registry=registry)),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("what", "declare"), WRONG)
def test_wrong_declaration_is_refused(registry: Registry, what: str, declare: Callable[[Registry], object]) -> None:
    with pytest.raises(MetricDeclarationError, match=what):
        declare(registry)
    assert samples(registry) == {}


def test_near_way_across_processes_is_offered(registry: Registry) -> None:
    with pytest.raises(MetricDeclarationError) as caught:
        Gauge("sent", across="summ", registry=registry)  # type: ignore[arg-type]
    assert caught.value.near == ("sum",)


def test_infinity_may_be_written_as_the_last_bucket(registry: Registry) -> None:
    Histogram("size", buckets=(1, float("inf")), registry=registry).observe(5)
    assert registry.get_histogram("size").buckets == {1.0: 0, float("inf"): 1}


def test_counter_without_labels_is_exposed_before_it_counts(registry: Registry) -> None:
    Counter("orders", registry=registry)
    Counter("others", labels=("shop",), registry=registry)
    Gauge("waiting", registry=registry)
    assert samples(registry) == {("orders_total", frozenset()): 0}


def test_gauge_is_exposed_once_it_is_set(registry: Registry) -> None:
    waiting = Gauge("waiting", registry=registry)
    assert value(registry, "waiting") is None
    waiting.set(0)
    assert value(registry, "waiting") == 0


def test_declared_values_are_checked(registry: Registry) -> None:
    with pytest.raises(MetricValueError):
        Counter("orders", registry=registry).increment(-1)
    with pytest.raises(MetricValueError):
        Gauge("waiting", registry=registry).set("3")  # type: ignore[arg-type]
    with pytest.raises(MetricValueError):
        Gauge("waiting", registry=registry).increment("3")  # type: ignore[arg-type]
    with pytest.raises(MetricValueError):
        Histogram("seconds", registry=registry).observe(float("nan"))


def test_handles_outlive_clearing(registry: Registry) -> None:
    orders = Counter("orders", labels=("shop",), registry=registry)
    waiting, seconds = Gauge("waiting", registry=registry), Histogram("seconds", registry=registry)
    handle = orders.labels("1")
    handle.increment()
    waiting.set(5)
    seconds.observe(1)
    registry.clear_metrics()
    assert registry.get_all_metrics() == []
    assert samples(registry) == {}
    handle.increment(2)
    orders.increment(shop="1")
    waiting.increment()
    seconds.observe(1)
    assert registry.get_counter("orders", {"shop": "1"}) == 3
    assert registry.get_gauge("waiting") == 1
    assert registry.get_histogram("seconds").count == 1
    assert len(registry.get_all_metrics()) == 3


def test_metrics_are_of_the_process_unless_said_otherwise() -> None:
    import undercroft.monitoring as monitoring

    counter = Counter("undercroft_test_declared_total", help="For this test.")
    before = monitoring.get_counter("undercroft_test_declared_total")
    counter.increment()
    assert monitoring.get_counter("undercroft_test_declared_total") == before + 1
    assert monitoring.registry().get_counter("undercroft_test_declared") == before + 1
