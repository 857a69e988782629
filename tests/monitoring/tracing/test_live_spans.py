"""Spans that nobody ends are kept, but not for ever."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from undercroft.monitoring import TracingService, clear_spans, end_span, get_active_span, start_span, tracing_counts


@pytest.fixture(autouse=True)
def nothing_alive() -> Iterator[None]:
    clear_spans()
    yield
    clear_spans()


def test_spans_that_are_never_ended_do_not_pile_up() -> None:
    first = start_span("first").span_id
    before = tracing_counts().forgotten
    for _ in range(4_096):
        start_span("leaked")
    gc.collect()

    assert end_span(first) is None
    assert tracing_counts().forgotten - before == 1


def test_span_that_somebody_holds_is_found_beyond_the_cap() -> None:
    held = start_span("held")
    for _ in range(5_000):
        start_span("leaked")

    assert get_active_span(held.span_id) is held
    assert end_span(held.span_id) is held
    assert get_active_span(held.span_id) is None


def test_ended_spans_are_not_kept() -> None:
    import weakref

    span = start_span("work")
    seen = weakref.ref(span)
    span.end()
    del span
    gc.collect()

    assert seen() is None


def test_clear_spans_forgets_all() -> None:
    span = start_span("work")
    clear_spans()

    assert get_active_span(span.span_id) is None


def test_service_is_the_process_tracer() -> None:
    tracing = TracingService()
    with tracing.start_trace("checkout") as span:
        assert TracingService().get_active_span() is span
        child = tracing.start_span("charge")
    assert child.parent_span_id == span.span_id
    assert tracing.end_span(child.span_id) is child
    assert len(tracing.generate_trace_id()) == 32
    assert tracing.set_span_attributes(tracing.generate_span_id(), {}) is None
