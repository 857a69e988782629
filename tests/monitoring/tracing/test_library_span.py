"""Spans that undercroft makes of its own accord: only where somebody takes them, at the position the work has."""

from __future__ import annotations

from tests.monitoring.tracing._taken import Taken
from undercroft._core.context import Correlation, LateCorrelation, Trace, correlate, correlation
from undercroft.monitoring import (
    NO_SPAN,
    AlwaysOff,
    continue_trace,
    get_active_span,
    library_span,
    setup_tracing,
    start_span,
)

REMOTE = Trace(trace_id="4bf92f3577b34da6a3ce929d0e0e4736", span_id="00f067aa0ba902b7", state="a=b")


def test_nothing_is_made_where_nobody_takes_it() -> None:
    with library_span("SELECT", kind="client", attributes={"a": 1}) as span:
        assert span is None
        assert get_active_span() is None
    assert library_span("SELECT") is NO_SPAN


def test_late_names_are_not_made_where_nobody_takes_spans() -> None:
    def make() -> Correlation:
        raise AssertionError("asked for")

    with correlate(LateCorrelation(make)), library_span("job"):
        pass


def test_span_is_a_child_of_what_is_current(taken: Taken) -> None:
    with (
        start_span("outer") as outer,
        library_span("SELECT", kind="client", attributes={"db.system.name": "sqlite"}) as inner,
    ):
        assert inner is not None
        assert inner.set_attribute("a", 1) is inner

    done = taken.named("SELECT")
    assert (done.parent_span_id, done.kind) == (outer.span_id, "client")
    assert done.attributes == {"db.system.name": "sqlite", "a": 1}


def test_span_takes_the_position_that_the_work_has_already(taken: Taken) -> None:
    position = continue_trace(REMOTE)
    with correlate(Correlation(request_id="r1", trace=position, baggage="a=1")):
        before = correlation()
        with library_span("GET /orders/{id}", kind="server", at=position, parent=REMOTE):
            assert correlation() == before

    done = taken.only
    assert (done.trace_id, done.span_id, done.parent_span_id) == (REMOTE.trace_id, position.span_id, REMOTE.span_id)
    assert (done.is_parent_remote, done.trace_state, done.request_id) == (True, "a=b", "r1")


def test_first_span_of_a_trace_takes_its_position_too(taken: Taken) -> None:
    position = continue_trace(None)
    with library_span("GET /", kind="server", at=position):
        pass

    assert (taken.only.span_id, taken.only.parent_span_id) == (position.span_id, None)


def test_nothing_is_made_below_what_is_not_sampled() -> None:
    taken = Taken()
    with setup_tracing(processors=[taken], sampler=AlwaysOff()):
        position = continue_trace(REMOTE)
        assert library_span("GET /", at=position, parent=REMOTE) is NO_SPAN
        with correlate(Correlation(trace=position)):
            assert library_span("SELECT") is NO_SPAN
        with start_span("mine"):
            assert library_span("SELECT") is NO_SPAN
    assert taken.spans == []


def test_decision_against_a_trace_holds_for_what_is_below_its_first_span() -> None:
    taken = Taken()
    with setup_tracing(processors=[taken], sampler=AlwaysOff()), library_span("root") as root:
        assert root is not None
        assert library_span("SELECT") is NO_SPAN
    assert taken.spans == []


def test_links_are_kept(taken: Taken) -> None:
    with library_span("batch", links=[REMOTE]):
        pass

    assert taken.only.links[0].span_id == REMOTE.span_id
