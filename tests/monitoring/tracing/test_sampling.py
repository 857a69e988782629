"""Which traces are recorded: as OpenTelemetry's SDK decides, once for each trace."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from tests.monitoring.tracing._taken import Taken
from undercroft._core.context import Correlation, Trace, correlate, correlation
from undercroft.monitoring import (
    AlwaysOff,
    AlwaysOn,
    ParentBased,
    Sampler,
    SamplerError,
    TraceIdRatio,
    continue_trace,
    inject_headers,
    new_trace,
    sampler_from,
    setup_tracing,
    start_span,
)

trace_ids = st.integers(1, 2**128 - 1)
SAMPLED = Trace(trace_id="4bf92f3577b34da6a3ce929d0e0e4736", span_id="00f067aa0ba902b7")
NOT_SAMPLED = Trace(trace_id=SAMPLED.trace_id, span_id=SAMPLED.span_id, is_sampled=False, state="a=b")


@given(trace_ids, st.floats(0, 1))
def test_ratio_decides_as_the_sdk_does(trace_id: int, ratio: float) -> None:
    theirs = TraceIdRatioBased(ratio).should_sample(None, trace_id, "work").decision.is_sampled()

    assert TraceIdRatio(ratio).is_sampled(f"{trace_id:032x}", None) is theirs


@pytest.mark.parametrize("ratio", [0.0, 0.25, 0.5, 1.0])
def test_ratio_decides_as_the_sdk_does_at_its_bound(ratio: float) -> None:
    bound = TraceIdRatioBased.get_bound_for_rate(ratio)
    for low in {max(0, bound - 1), min(bound, 2**64 - 1)}:
        theirs = TraceIdRatioBased(ratio).should_sample(None, low, "work").decision.is_sampled()
        assert TraceIdRatio(ratio).is_sampled(f"{low:032x}", None) is theirs


@pytest.mark.parametrize(
    ("name", "arg", "sampler"),
    [
        ("always_on", None, AlwaysOn()),
        ("always_off", "0.5", AlwaysOff()),
        ("traceidratio", "0.25", TraceIdRatio(0.25)),
        ("traceidratio", None, TraceIdRatio(1.0)),
        ("parentbased_always_on", None, ParentBased(AlwaysOn())),
        ("parentbased_always_off", None, ParentBased(AlwaysOff())),
        (" ParentBased_TraceIdRatio ", "0.1", ParentBased(TraceIdRatio(0.1))),
        ("parentbased_traceidratio", " ", ParentBased(TraceIdRatio(1.0))),
    ],
)
def test_samplers_of_the_environment(name: str, arg: str | None, sampler: Sampler) -> None:
    assert sampler_from(name, arg) == sampler


def test_unknown_sampler_is_refused_with_the_list() -> None:
    with pytest.raises(SamplerError, match="UC1504") as caught:
        sampler_from("parentbased_ratio")

    assert "parentbased_traceidratio" in caught.value.near
    assert "always_on, always_off, parentbased_always_on" in str(caught.value)


@pytest.mark.parametrize("arg", ["ten", "-0.1", "1.1", "nan", "inf"])
def test_share_that_is_none_is_refused(arg: str) -> None:
    with pytest.raises(SamplerError, match=r"(?s)OTEL_TRACES_SAMPLER_ARG is .*from 0 to 1"):
        sampler_from("traceidratio", arg)


def test_parent_decides_for_its_children() -> None:
    taken = Taken()
    with setup_tracing(processors=[taken], sampler=ParentBased(AlwaysOff())):
        with start_span("root is not"), start_span("child is not"):
            pass
        with start_span("child of a sampled one", parent=SAMPLED):
            pass
    with setup_tracing(processors=[taken], sampler=ParentBased(AlwaysOn())):
        start_span("child of one that is not", parent=NOT_SAMPLED).end()

    assert taken.names == ["child of a sampled one"]


def test_span_that_is_not_sampled_still_names_the_work_and_is_passed_on() -> None:
    with setup_tracing(processors=[Taken()], sampler=AlwaysOff()), start_span("work") as span:
        assert not span.is_recording
        assert correlation().fields()["trace_id"] == span.trace_id
        assert inject_headers()["traceparent"] == f"00-{span.trace_id}-{span.span_id}-00"


def test_position_of_a_new_trace_has_the_samplers_decision() -> None:
    with setup_tracing(sampler=AlwaysOff()):
        assert not new_trace().is_sampled
        assert not continue_trace(None).is_sampled
    assert new_trace().is_sampled


def test_position_below_a_parent_has_its_decision_and_state() -> None:
    below = continue_trace(NOT_SAMPLED)

    assert (below.trace_id, below.is_sampled, below.state) == (NOT_SAMPLED.trace_id, False, "a=b")
    assert below.span_id != NOT_SAMPLED.span_id


def test_own_sampler_is_asked_with_the_parent() -> None:
    asked: list[tuple[str, str | None]] = []

    class Mine:
        def is_sampled(self, trace_id: str, parent: object) -> bool:
            asked.append((trace_id, getattr(parent, "span_id", None)))
            return True

    with setup_tracing(sampler=Mine()), correlate(Correlation(trace=SAMPLED)):
        start_span("work").end()

    assert asked == [(SAMPLED.trace_id, SAMPLED.span_id)]
