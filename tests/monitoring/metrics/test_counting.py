"""Counting by name: values, labels, names, kinds."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.monitoring import (
    MetricLabelError,
    MetricNameError,
    MetricTypeError,
    MetricValueError,
    Registry,
)


def test_counter_grows_by_one_or_by_what_is_given(registry: Registry) -> None:
    registry.increment("orders")
    registry.increment("orders", 2.5)
    assert registry.get_counter("orders") == 3.5


def test_labels_may_stand_in_the_values_place(registry: Registry) -> None:
    registry.increment("orders", {"shop": "1"})
    registry.increment("orders", {"shop": "1"})
    registry.increment("orders", 3, {"shop": "1"})
    assert registry.get_counter("orders", {"shop": "1"}) == 5


def test_labels_given_twice_are_refused(registry: Registry) -> None:
    with pytest.raises(MetricValueError, match="labels were given twice"):
        registry.increment("orders", {"shop": "1"}, {"shop": "2"})


def test_order_of_labels_does_not_matter(registry: Registry) -> None:
    registry.increment("orders", 1, {"a": "1", "b": "2"})
    registry.increment("orders", 1, {"b": "2", "a": "1"})
    assert registry.get_counter("orders", {"b": "2", "a": "1"}) == 2
    assert len(registry.get_all_metrics()) == 1


def test_what_was_never_used_reads_as_nothing(registry: Registry) -> None:
    assert registry.get_counter("orders") == 0
    assert registry.get_gauge("orders") == 0
    assert registry.get_histogram("orders").count == 0
    assert registry.get_all_metrics() == []


def test_gauge_keeps_the_last_value(registry: Registry) -> None:
    registry.gauge("waiting", 3)
    registry.gauge("waiting", -1.5)
    assert registry.get_gauge("waiting") == -1.5


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_gauge_may_be_no_finite_number(registry: Registry, value: float) -> None:
    registry.gauge("waiting", value)
    assert repr(registry.get_gauge("waiting")) == repr(value)


class Shade(enum.StrEnum):
    DARK = "dark"


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "True"), (1, "1"), (1.0, "1.0"), (None, "None"), ("1", "1"), (["a"], "['a']"), (Shade.DARK, "dark")],
)
def test_label_values_become_text(registry: Registry, value: object, text: str) -> None:
    registry.increment("orders", 1, {"of": value})
    assert registry.get_counter("orders", {"of": text}) == 1


def test_values_that_python_takes_for_equal_stay_apart(registry: Registry) -> None:
    for value in (True, 1, 1.0, "1"):
        for _ in range(2):
            registry.increment("orders", 1, {"of": value})
    assert registry.get_counter("orders", {"of": "True"}) == 2
    assert registry.get_counter("orders", {"of": "1"}) == 4
    assert registry.get_counter("orders", {"of": "1.0"}) == 2


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.one_of(st.text(), st.integers(), st.booleans()))))
def test_counts_are_those_of_a_dictionary(label_sets: list[dict[str, object]]) -> None:
    registry = Registry()
    expected: dict[tuple[tuple[str, str], ...], int] = {}
    for labels in label_sets:
        registry.increment("orders", 1, labels)
        key = tuple(sorted((name, str(value)) for name, value in labels.items()))
        expected[key] = expected.get(key, 0) + 1
    found = {tuple(sorted(metric.labels.items())): metric.value for metric in registry.get_all_metrics()}
    assert found == expected


@pytest.mark.parametrize("value", [-1, -0.001, math.nan, math.inf, 10**400, "1", None, b"1", [], object()])
def test_counter_refuses_what_it_cannot_add(registry: Registry, value: object) -> None:
    registry.increment("orders")
    for _ in range(2):
        with pytest.raises(MetricValueError):
            registry.increment("orders", value)  # type: ignore[arg-type]
    assert registry.get_counter("orders") == 1


def test_refused_value_makes_no_metric(registry: Registry) -> None:
    with pytest.raises(MetricValueError):
        registry.increment("orders", -1)
    with pytest.raises(MetricValueError):
        registry.observe("seconds", math.nan)
    with pytest.raises(MetricValueError):
        registry.gauge("waiting", "3")  # type: ignore[arg-type]
    assert registry.render_prometheus() == ""
    registry.gauge("orders", 1)
    registry.increment("waiting")


@pytest.mark.parametrize("value", [Decimal("0.5"), True, 0, 1.7976931348623157e308])
def test_counter_adds_any_number(registry: Registry, value: float) -> None:
    registry.increment("orders", value)
    assert registry.get_counter("orders") == float(value)


@pytest.mark.parametrize("name", ["http.requests", "http-requests", "http_requests", "http.requests_total"])
def test_dots_and_dashes_are_underscores(registry: Registry, name: str) -> None:
    registry.increment(name)
    assert registry.get_counter("http_requests") == 1


@pytest.mark.parametrize("name", ["", "1st", "ä", "a b", "a:b", "a{b}", "a\n", "_total", "x" * 3 + "\0"])
def test_other_names_are_refused(registry: Registry, name: str) -> None:
    with pytest.raises(MetricNameError):
        registry.increment(name)


@pytest.mark.parametrize("name", [5, None, ["a"], b"a"])
def test_name_that_is_no_text_is_refused(registry: Registry, name: object) -> None:
    with pytest.raises(MetricNameError, match="text"):
        registry.increment(name)  # type: ignore[arg-type]


@pytest.mark.parametrize("label", ["le", "quantile", "__name__", "__x", "", "a-b", "1", "ä", 1])
def test_other_label_names_are_refused(registry: Registry, label: str) -> None:
    for _ in range(2):
        with pytest.raises(MetricLabelError):
            registry.increment("orders", 1, {label: "x"})


def test_refused_label_names_the_one_that_would_do(registry: Registry) -> None:
    with pytest.raises(MetricLabelError) as caught:
        registry.increment("orders", 1, {"http.method": "GET"})
    assert caught.value.near == ("http_method",)


@pytest.mark.parametrize("labels", [["a"], "ab", 5, [("a", "b")]])
def test_labels_are_a_mapping(registry: Registry, labels: object) -> None:
    with pytest.raises(MetricLabelError, match="mapping"):
        registry.increment("orders", 1, labels)  # type: ignore[arg-type]


def test_name_with_and_without_total_is_one_counter(registry: Registry) -> None:
    registry.increment("orders")
    registry.increment("orders_total")
    assert registry.get_counter("orders") == registry.get_counter("orders_total") == 2


USES: dict[str, Callable[[Registry, str], None]] = {
    "counter": lambda registry, name: registry.increment(name),
    "gauge": lambda registry, name: registry.gauge(name, 1),
    "histogram": lambda registry, name: registry.observe(name, 1),
}


@pytest.mark.parametrize("first", USES)
@pytest.mark.parametrize("second", USES)
def test_one_name_is_one_kind_of_metric(registry: Registry, first: str, second: str) -> None:
    USES[first](registry, "orders")
    if first == second:
        USES[second](registry, "orders")
        return
    with pytest.raises(MetricTypeError, match=rf"'orders' cannot be a {second}.*taken by the {first} 'orders'"):
        USES[second](registry, "orders")


@pytest.mark.parametrize(
    ("first", "name", "second", "other"),
    [
        ("counter", "orders", "gauge", "orders_total"),
        ("gauge", "orders_total", "counter", "orders"),
        ("histogram", "orders", "gauge", "orders_count"),
        ("gauge", "orders_sum", "histogram", "orders"),
        ("histogram", "orders", "gauge", "orders_bucket"),
    ],
)
def test_two_metrics_never_expose_one_name(registry: Registry, first: str, name: str, second: str, other: str) -> None:
    USES[first](registry, name)
    with pytest.raises(MetricTypeError):
        USES[second](registry, other)


@pytest.mark.parametrize("read", ["get_counter", "get_gauge", "get_histogram"])
def test_reading_another_kind_is_refused(registry: Registry, read: str) -> None:
    registry.increment("a")
    registry.gauge("b", 1)
    name = "b" if read == "get_counter" else "a"
    with pytest.raises(MetricTypeError):
        getattr(registry, read)(name)
