"""Both text formats, read back by prometheus_client and judged by promtool."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from tests.monitoring.metrics._reading import openmetrics_families, promtool_complaints, samples
from undercroft._core.clock import VirtualClock
from undercroft._core.context import Correlation, Trace, correlate
from undercroft.monitoring import Counter, Gauge, Histogram, MetricNameError, MetricTypeError, Registry

ANY_TEXT = st.text(st.characters(exclude_categories=[]))
NAMES = st.text("abZ_19", min_size=1, max_size=8).filter(lambda name: not name[0].isdecimal())
LABEL_NAMES = NAMES.filter(lambda name: not name.startswith("__") and name not in ("le", "quantile"))
LABELS = st.dictionaries(LABEL_NAMES, ANY_TEXT, max_size=3)
COUNTS = st.one_of(st.floats(0, allow_nan=False, allow_infinity=False), st.integers(0, 2**53))
NUMBERS = st.one_of(st.floats(), st.integers(-(2**53), 2**53))
POSITIVE = st.floats(0, 1e300)
USES = st.one_of(
    st.tuples(st.just("increment"), NAMES, COUNTS, LABELS),
    st.tuples(st.just("gauge"), NAMES, NUMBERS, LABELS),
    st.tuples(st.just("observe"), NAMES, POSITIVE, LABELS),
)


def use(registry: Registry, uses: list[tuple[str, str, Any, dict[str, str]]]) -> None:
    for what, name, value, labels in uses:
        try:
            getattr(registry, what)(name, value, labels)
        except (MetricTypeError, MetricNameError):  # two uses of one name, or nothing before a _total
            continue


@settings(max_examples=50)
@given(st.lists(USES, max_size=20))
def test_whatever_is_counted_is_read_back(uses: list[tuple[str, str, Any, dict[str, str]]]) -> None:
    registry = Registry()
    use(registry, uses)
    families = openmetrics_families(registry)
    plain = samples(registry)
    for metric in registry.get_all_metrics():
        labels = frozenset(metric.labels.items())
        family = metric.name
        while metric.type == "counter" and family.endswith("_total"):
            family = family.removesuffix("_total")
        assert families[family].type == metric.type
        name = {"counter": f"{family}_total", "gauge": family, "histogram": f"{family}_count"}[metric.type]
        expected = metric.count if metric.type == "histogram" else metric.value
        strict = {
            frozenset(sample.labels.items()): sample.value for sample in families[family].samples if sample.name == name
        }
        for found in (plain[name, labels], strict[labels]):
            assert found == expected or (math.isnan(found) and metric.value != metric.value)


@settings(max_examples=50)
@given(st.lists(USES, max_size=20))
def test_what_is_shared_is_exposed_as_what_is_not(
    tmp_path_factory: pytest.TempPathFactory, uses: list[tuple[str, str, Any, dict[str, str]]]
) -> None:
    alone, attached, other = Registry(), Registry(), Registry()
    directory = tmp_path_factory.mktemp("shared")
    with attached.attach(directory), other.attach(directory):
        use(alone, uses)
        use(attached, uses)
        assert alone.render_openmetrics() == attached.render_openmetrics() == other.render_openmetrics()


NAUGHTY = [
    "",
    " ",
    '"',
    "\\",
    "\\n",
    "\n",
    "\r\n",
    "\t\0\x1b[31m",
    '{a="b"}',
    '"} 1\nfake_total 5',
    "# EOF",
    "\u2028\u2029\x85",
    "\u202eabc\u2066",
    "\ud800",
    "😀é",
    "<script>",
    "%s%n",
    "NaN",
    "\U0001d4b3" * 600,
]


@pytest.mark.parametrize("text", NAUGHTY)
def test_any_text_is_a_label_value_and_forges_nothing(registry: Registry, text: str) -> None:
    registry.increment("orders", 1, {"of": text})
    assert list(samples(registry).values()) == [1]
    ((sample,),) = [family.samples for family in parse_openmetrics(registry.render_openmetrics())]
    clean = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    assert sample.labels["of"] == clean


@pytest.mark.parametrize("text", NAUGHTY)
def test_any_text_is_a_help(registry: Registry, text: str) -> None:
    clean = text.encode("utf-8", "replace").decode()
    Counter("orders", help=clean, registry=registry)
    assert openmetrics_families(registry)["orders"].documentation == (clean.strip() or "The counter orders.")
    assert samples(registry) == {("orders_total", frozenset()): 0}


def test_rendering_is_exactly_this(registry: Registry) -> None:
    Counter("sent_bytes", help="Bytes.", unit="bytes", registry=registry).increment(3)
    Histogram("age_seconds", help="Ages.", buckets=(0.5, 1), labels=("of",), registry=registry).observe(0.7, of="x")
    registry.gauge("waiting", math.inf)
    assert registry.render_prometheus() == (
        "# HELP age_seconds Ages.\n"
        "# TYPE age_seconds histogram\n"
        'age_seconds_bucket{of="x",le="0.5"} 0.0\n'
        'age_seconds_bucket{of="x",le="1.0"} 1.0\n'
        'age_seconds_bucket{of="x",le="+Inf"} 1.0\n'
        'age_seconds_count{of="x"} 1.0\n'
        'age_seconds_sum{of="x"} 0.7\n'
        "# HELP sent_bytes_total Bytes.\n"
        "# TYPE sent_bytes_total counter\n"
        "sent_bytes_total 3.0\n"
        "# HELP waiting The gauge waiting.\n"
        "# TYPE waiting gauge\n"
        "waiting +Inf\n"
    )
    assert registry.render_openmetrics().endswith(
        "# HELP sent_bytes Bytes.\n"
        "# TYPE sent_bytes counter\n"
        "# UNIT sent_bytes bytes\n"
        "sent_bytes_total 3.0\n"
        "# HELP waiting The gauge waiting.\n"
        "# TYPE waiting gauge\n"
        "waiting +Inf\n"
        "# EOF\n"
    )


@pytest.mark.parametrize(
    ("bound", "text"),
    [(1, "1.0"), (0.005, "0.005"), (1e6, "1e+06"), (1234567.5, "1.2345675e+06"), (1e16, "1e+16"), (1e-7, "1e-07")],
)
def test_bounds_are_written_as_go_writes_them(registry: Registry, bound: float, text: str) -> None:
    Histogram("size", buckets=(bound,), registry=registry).observe(0)
    assert f'le="{text}"' in registry.render_prometheus()
    openmetrics_families(registry)


def test_sum_that_may_go_down_is_no_sum_in_openmetrics(registry: Registry) -> None:
    Histogram("below", buckets=(-1, 1), registry=registry).observe(-5)
    registry.observe("seconds", -5)
    families = openmetrics_families(registry)
    assert {sample.name for name in families for sample in families[name].samples} == {
        "below_bucket",
        "seconds_bucket",
    }
    assert samples(registry)["below_sum", frozenset()] == -5


def test_promtool_has_no_complaints(registry: Registry) -> None:
    Counter("shop_orders_total", help="Orders.", labels=("shop",), registry=registry).increment(shop='"\\\n')
    Gauge("shop_open_carts", help="Carts.", across="each", registry=registry).set(3)
    Histogram("shop_request_duration_seconds", help="Requests.", unit="seconds", registry=registry).observe(0.2)
    registry.increment("shop_undeclared", 1, {"of": "\u202e😀\0"})
    assert promtool_complaints(registry.render_prometheus()) == ""


def test_promtool_would_complain(registry: Registry) -> None:
    assert "parsing error" in promtool_complaints(registry.render_prometheus() + 'x{a="b} 1\n')


def test_empty_registry_is_an_empty_exposition(registry: Registry) -> None:
    assert registry.render_prometheus() == ""
    assert registry.render_openmetrics() == "# EOF\n"


# Exemplars


def exemplars(registry: Registry) -> dict[str, Any]:
    (family,) = openmetrics_families(registry).values()
    return {sample.labels["le"]: sample.exemplar for sample in family.samples if sample.exemplar}


def test_exemplar_leads_to_the_trace(registry: Registry, clock: VirtualClock) -> None:
    trace = Trace.new()
    with correlate(Correlation(trace=trace)):
        registry.observe("seconds", 0.3)
    (exemplar,) = exemplars(registry).values()
    assert exemplar.labels == {"trace_id": trace.trace_id, "span_id": trace.span_id}
    assert exemplar.value == 0.3
    assert float(exemplar.timestamp) == clock.time()
    assert list(exemplars(registry)) == ["0.5"]
    assert " # {" not in registry.render_prometheus()


def test_only_sampled_traces_are_exemplars(registry: Registry) -> None:
    registry.observe("seconds", 0.3)
    with correlate(Correlation(trace=Trace(trace_id="1" * 32, span_id="1" * 16, is_sampled=False))):
        registry.observe("seconds", 0.3)
    assert exemplars(registry) == {}


@pytest.mark.anyio
async def test_each_bucket_takes_one_exemplar_a_second(registry: Registry, clock: VirtualClock) -> None:
    with correlate(Correlation(trace=Trace.new())):
        for value in (0.3, 0.4, 0.6):
            registry.observe("seconds", value)
        assert {bound: found.value for bound, found in exemplars(registry).items()} == {"0.5": 0.3, "0.75": 0.6}
        await clock.advance(1)
        registry.observe("seconds", 0.45)
    assert {bound: found.value for bound, found in exemplars(registry).items()} == {"0.5": 0.45, "0.75": 0.6}


@pytest.mark.anyio
async def test_sampled_trace_after_others_is_soon_an_exemplar(registry: Registry, clock: VirtualClock) -> None:
    registry.observe("seconds", 0.3)
    await clock.advance(0.02)
    with correlate(Correlation(trace=Trace.new())):
        registry.observe("seconds", 0.4)
    assert exemplars(registry)["0.5"].value == 0.4


# Negotiation

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = "text/plain; version=0.0.4; charset=utf-8"
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/html,application/xhtml+xml,*/*;q=0.8", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ('application/openmetrics-text; version="1.0.0"; charset=utf-8', OPENMETRICS),
        ("APPLICATION/OPENMETRICS-TEXT;VERSION=1.0.0", OPENMETRICS),
        ("application/openmetrics-text;version=0.0.1", TEXT),
        ("application/openmetrics-text;version=2.0.0", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.9", TEXT),
        ("application/openmetrics-text;q=x", TEXT),
        (";;;,,=", TEXT),
        (PROMETHEUS_2, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
    ],
)
def test_scraper_gets_the_format_it_prefers(registry: Registry, accept: str, content_type: str) -> None:
    render, found = registry.negotiate(accept)
    assert found == content_type
    assert render().endswith("# EOF\n") == (content_type == OPENMETRICS)


@given(st.text())
def test_any_accept_header_gets_an_answer(accept: str) -> None:
    render, _ = Registry().negotiate(accept)
    assert isinstance(render(), str)


# prometheus_client beside it


@pytest.fixture
def theirs() -> Any:
    from prometheus_client import CollectorRegistry

    return CollectorRegistry()


def test_other_registry_is_exposed_in_both_formats(registry: Registry, theirs: Any) -> None:
    import prometheus_client

    from undercroft.monitoring.prometheus import include_registry

    prometheus_client.Counter("theirs", "Theirs.", ["a"], registry=theirs).labels('"\n').inc(2)
    prometheus_client.Info("build", "Build.", registry=theirs).info({"version": "1"})
    prometheus_client.Summary("asked", "Asked.", registry=theirs).observe(2)
    registry.increment("ours")
    include_registry(theirs, registry=registry)
    include_registry(theirs, registry=registry)
    assert samples(registry)["theirs_total", frozenset({("a", '"\n')})] == 2
    assert samples(registry)["ours_total", frozenset()] == 1
    assert set(openmetrics_families(registry)) == {"ours", "theirs", "build", "asked"}
    assert promtool_complaints(registry.render_prometheus()).count("error") == 0


def test_name_in_both_is_an_error_that_names_both(registry: Registry, theirs: Any) -> None:
    import prometheus_client

    from undercroft.monitoring.prometheus import include_registry

    prometheus_client.Gauge("orders_total", "Theirs.", registry=theirs)
    registry.increment("orders")
    with pytest.raises(
        MetricTypeError, match=r"'orders_total' of the included prometheus_client registry.*counter 'orders'"
    ):
        include_registry(theirs, registry=registry)
    registry.clear_metrics()
    include_registry(theirs, registry=registry)
    with pytest.raises(MetricTypeError, match="taken by the included prometheus_client registry"):
        registry.increment("orders")


def test_later_clash_leaves_theirs_out(registry: Registry, theirs: Any, caplog: pytest.LogCaptureFixture) -> None:
    import prometheus_client

    from undercroft.monitoring.prometheus import include_registry

    include_registry(theirs, registry=registry)
    registry.increment("orders")
    prometheus_client.Counter("orders", "Theirs.", registry=theirs).inc(5)
    for _ in range(2):
        assert samples(registry) == {("orders_total", frozenset()): 1}
        assert list(openmetrics_families(registry)) == ["orders"]
    assert caplog.text.count("orders of the included prometheus_client registry is left out") == 1
