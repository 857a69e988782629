"""A span from its start to its end: what it is, what can be said of it, and what is given on."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from tests.monitoring.tracing._taken import Taken
from undercroft._core.clock import VirtualClock
from undercroft._core.context import Trace
from undercroft.monitoring import (
    FinishedSpan,
    SpanUsageError,
    SpanValueError,
    end_span,
    generate_span_id,
    generate_trace_id,
    get_active_span,
    set_span_attributes,
    setup_tracing,
    start_span,
    start_trace,
    tracing_counts,
)

pytestmark = pytest.mark.anyio


def test_span_has_the_fields_of_the_contract() -> None:
    span = start_span("charge card")

    assert span.name == "charge card"
    assert re.fullmatch("[0-9a-f]{32}", span.trace_id)
    assert re.fullmatch("[0-9a-f]{16}", span.span_id)
    assert (span.parent_span_id, span.end_time, span.attributes) == (None, None, {})
    assert abs(datetime.now(UTC) - span.start_time) < timedelta(seconds=5)
    assert (span.kind, span.status, span.events, span.links) == ("internal", "unset", [], [])


def test_ids_are_of_the_length_and_alphabet_of_w3c() -> None:
    assert re.fullmatch("[0-9a-f]{32}", generate_trace_id())
    assert re.fullmatch("[0-9a-f]{16}", generate_span_id())
    assert len({generate_span_id() for _ in range(1_000)}) == 1_000


def test_end_span_by_id_returns_the_span_and_forgets_it() -> None:
    span = start_span("work")

    assert end_span(span.span_id) is span
    assert span.end_time is not None
    assert end_span(span.span_id) is None


def test_id_alone_is_enough_to_end_a_span_that_nobody_holds(taken: Taken) -> None:
    span_id = start_span("work").span_id

    ended = end_span(span_id)

    assert ended is not None
    assert taken.names == ["work"]


def test_ending_what_is_unknown_does_nothing() -> None:
    assert end_span("00000000000000ff") is None
    assert set_span_attributes("00000000000000ff", {"a": 1}) is None


def test_attributes_are_merged(taken: Taken) -> None:
    span = start_span("work", attributes={"a": 1, "b": 2})
    set_span_attributes(span.span_id, {"b": 3, "c": 4})
    set_span_attributes(span, {"d": 5})
    end_span(span)

    assert taken.only.attributes == {"a": 1, "b": 3, "c": 4, "d": 5}


def test_second_argument_is_the_parents_id() -> None:
    parent = start_span("outer")
    child = start_span("inner", parent.span_id)

    assert child.parent_span_id == parent.span_id
    assert child.trace_id == parent.trace_id


@pytest.mark.parametrize("as_given", ["span", "trace"])
def test_child_is_in_its_parents_trace(as_given: str) -> None:
    parent = start_span("outer")
    given = parent if as_given == "span" else Trace(trace_id=parent.trace_id, span_id=parent.span_id)

    child = start_span("inner", parent=given)

    assert (child.trace_id, child.parent_span_id) == (parent.trace_id, parent.span_id)


def test_id_of_a_parent_that_is_not_alive_is_kept_in_the_current_trace() -> None:
    with start_span("here") as here:
        child = start_span("inner", "00f067aa0ba902b7")

    assert (child.trace_id, child.parent_span_id) == (here.trace_id, "00f067aa0ba902b7")
    assert start_span("outside", "00f067aa0ba902b7").parent_span_id == "00f067aa0ba902b7"


@pytest.mark.parametrize("parent", ["", "xyz", "00F067AA0BA902B7", 7, object()])
def test_what_is_no_parent_is_refused(parent: object) -> None:
    with pytest.raises(SpanValueError, match="UC1502") as caught:
        start_span("work", parent=parent)  # type: ignore[arg-type]

    assert "16 hex digits" in str(caught.value)


def test_unknown_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(SpanValueError) as caught:
        start_span("work", kind="servr")  # type: ignore[arg-type]

    assert caught.value.near == ("server",)


def test_start_trace_begins_a_new_trace_inside_another() -> None:
    with start_span("outer") as outer, start_trace("other") as other:
        assert other.trace_id != outer.trace_id
        assert other.parent_span_id is None


def test_everything_of_a_span_is_given_on(taken: Taken) -> None:
    linked = Trace(trace_id="4bf92f3577b34da6a3ce929d0e0e4736", span_id="00f067aa0ba902b7", state="a=b")
    at = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    span = start_span("first name", kind="consumer", links=[linked], start_time=at)
    span.update_name("better name").set_attribute("n", 1.5).add_event("queued", {"depth": 3}, time=at)
    span.add_link(start_span("other"), {"why": "batch"}).set_status("error", "too slow")
    span.end(at + timedelta(seconds=2))

    done = taken.only
    assert (done.name, done.kind, done.attributes) == ("better name", "consumer", {"n": 1.5})
    assert done.start_time_ns == 1_767_323_045_000_006_000
    assert done.duration_ns == 2_000_000_000
    assert [(event.name, event.time_ns, event.attributes) for event in done.events] == [
        ("queued", done.start_time_ns, {"depth": 3})
    ]
    assert [(link.trace_state, link.attributes) for link in done.links] == [("a=b", {}), ("", {"why": "batch"})]
    assert (done.status, done.status_message) == ("error", "too slow")


def test_finished_span_is_plain_data_that_is_read_back(taken: Taken) -> None:
    with start_span("work", attributes={"a": [1, 2], "b": True, "c": 1.5}) as span:
        span.add_event("x", {"y": "z"})

    encoded = msgspec.json.encode(taken.only)

    assert msgspec.json.decode(encoded, type=FinishedSpan) == taken.only


def test_exception_that_leaves_the_block_is_recorded_and_goes_on(taken: Taken) -> None:
    class PaymentError(Exception):
        pass

    with pytest.raises(PaymentError), start_span("pay"):
        raise PaymentError("card declined")

    done = taken.only
    assert (done.status, done.status_message) == ("error", "card declined")
    assert str(done.attributes["error.type"]).endswith("PaymentError")
    (event,) = done.events
    assert event.name == "exception"
    assert event.attributes["exception.type"] == done.attributes["error.type"]
    assert event.attributes["exception.message"] == "card declined"
    assert "test_span.py" in str(event.attributes["exception.stacktrace"])


def test_type_of_a_builtin_exception_is_its_bare_name(taken: Taken) -> None:
    with pytest.raises(KeyError), start_span("work"):
        raise KeyError("x")

    assert taken.only.attributes["error.type"] == "KeyError"


def test_error_type_that_the_work_set_itself_is_kept(taken: Taken) -> None:
    span = start_span("work").set_attribute("error.type", "timeout")
    with pytest.raises(KeyError), span:
        raise KeyError("x")

    assert taken.only.attributes["error.type"] == "timeout"


def test_exception_after_ok_is_recorded_but_the_status_stays(taken: Taken) -> None:
    span = start_span("work").set_status("ok")
    with pytest.raises(KeyError), span:
        raise KeyError("x")

    assert taken.only.status == "ok"
    assert len(taken.only.events) == 1


@pytest.mark.parametrize("exception", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_is_no_error(taken: Taken, exception: type[BaseException]) -> None:
    with pytest.raises(exception), start_span("work"):
        raise exception

    assert (taken.only.status, taken.only.events) == ("unset", [])


def test_exception_whose_text_cannot_be_made_is_recorded(taken: Taken) -> None:
    class BrokenError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    with pytest.raises(BrokenError), start_span("work"):
        raise BrokenError

    assert taken.only.events[0].attributes["exception.message"] == "<BrokenError whose text cannot be made>"


def test_recorded_exception_alone_is_no_error_status(taken: Taken) -> None:
    with start_span("work") as span:
        span.record_exception(ValueError("tried again"), {"attempt": 1})

    assert taken.only.status == "unset"
    assert taken.only.events[0].attributes["attempt"] == 1


def test_status_rules_are_those_of_opentelemetry(taken: Taken) -> None:
    with start_span("work") as span:
        span.set_status("error", "first").set_status("unset")
        assert (span.status, span.status_message) == ("error", "first")
        span.set_status("ok", "ignored").set_status("error", "too late")

    assert (taken.only.status, taken.only.status_message) == ("ok", "")


def test_unknown_status_is_refused() -> None:
    with pytest.raises(SpanValueError, match="statuses: unset, ok, error"):
        start_span("work").set_status("failed")  # type: ignore[arg-type]


def test_ended_span_refuses_changes_and_counts_them(taken: Taken) -> None:
    span = start_span("work")
    span.end()
    before = tracing_counts().late_changes

    span.set_attribute("a", 1).add_event("e").add_link(span).set_status("error").update_name("other").end()

    assert tracing_counts().late_changes - before == 6
    assert (span.name, span.attributes, span.events, span.links, span.status) == ("work", {}, [], [], "unset")
    assert len(taken.spans) == 1


def test_span_that_was_ended_inside_its_block_is_given_on_once(taken: Taken) -> None:
    with start_span("work") as span:
        span.end()

    assert len(taken.spans) == 1


def test_span_cannot_be_entered_twice(taken: Taken) -> None:
    span = start_span("work")
    with span:
        with pytest.raises(SpanUsageError, match="UC1501"):
            span.__enter__()
        assert get_active_span() is span
    with pytest.raises(SpanUsageError, match="start another"), span:
        pass


async def test_duration_is_monotonic_when_the_hosts_clock_steps_back() -> None:
    class SteppedClock(VirtualClock):
        step = 0.0

        def time(self) -> float:
            return super().time() + self.step

    clock, processor = SteppedClock(), Taken()
    with setup_tracing(processors=[processor], clock=clock), start_span("work") as span:
        clock.step = -3_600
        await clock.advance(2)

    assert span.duration == pytest.approx(2)
    assert processor.only.duration_ns == 2_000_000_000


def test_span_never_ends_before_its_start(taken: Taken) -> None:
    span = start_span("work")
    span.end(span.start_time - timedelta(days=1))

    assert taken.only.duration_ns == 0


def test_naive_times_are_refused() -> None:
    with pytest.raises(SpanValueError, match="no time zone"):
        start_span("work", start_time=datetime(2026, 1, 1))


async def test_span_is_an_async_context_manager_too(taken: Taken) -> None:
    async with start_span("work") as span:
        assert get_active_span() is span

    assert taken.names == ["work"]


def test_repr_names_the_span_and_no_attribute() -> None:
    span = start_span("work", attributes={"token": "secret-value"})

    assert span.span_id in repr(span)
    assert "secret-value" not in repr(span)
