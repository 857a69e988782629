"""Positions and baggage go out in headers, and come in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft._core.carrier import inject, pack, unpack
from undercroft._core.context import Correlation, correlate, correlation
from undercroft.monitoring import (
    BaggageError,
    baggage,
    continue_from,
    extract_headers,
    get_baggage,
    inject_headers,
    start_span,
)

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"
tokens = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=20)


def test_headers_tell_where_the_work_stands() -> None:
    with (
        continue_from({"traceparent": TRACEPARENT, "tracestate": "a=b"}),
        start_span("work") as span,
        baggage(user="1"),
    ):
        assert inject_headers() == {
            "traceparent": f"00-{TRACE_ID}-{span.span_id}-01",
            "tracestate": "a=b",
            "baggage": "user=1",
        }


def test_headers_are_added_to_those_there_are() -> None:
    headers = OrderedDict({"accept": "*/*", "Traceparent": "old", "BAGGAGE": "old=1", "tracestate": "old=1"})
    with start_span("work") as span:
        added = inject_headers(headers)

    assert added is headers
    assert added == {"accept": "*/*", "traceparent": f"00-{span.trace_id}-{span.span_id}-01"}


def test_nothing_is_sent_outside_of_any_trace() -> None:
    assert inject_headers() == {}


@pytest.mark.parametrize(
    "headers",
    [
        {"TraceParent": TRACEPARENT, "TRACESTATE": "a=1,b=2", "Baggage": "user=1"},
        [("traceparent", TRACEPARENT), ("tracestate", "a=1"), ("TraceState", "b=2"), ("baggage", "user=1")],
    ],
)
def test_names_may_be_in_any_case_and_values_in_several_headers(headers: Any) -> None:
    carried = extract_headers(headers)

    assert carried.trace is not None
    assert (str(carried.trace), carried.trace.state, carried.baggage) == (TRACEPARENT, "a=1,b=2", "user=1")


def test_several_traceparents_are_none() -> None:
    assert extract_headers([("traceparent", TRACEPARENT), ("traceparent", TRACEPARENT)]).trace is None


def test_spans_go_on_below_the_sender() -> None:
    with correlate(Correlation(request_id="r1", job_id="j1")), continue_from({"traceparent": TRACEPARENT}) as carried:
        span = start_span("work")
        assert (correlation().request_id, correlation().job_id) == ("r1", "j1")

    assert carried.trace is not None
    assert (span.trace_id, span.parent_span_id, span.is_parent_remote) == (TRACE_ID, SPAN_ID, True)
    assert correlation() == Correlation()


@pytest.mark.parametrize("headers", [{}, {"traceparent": "garbage", "tracestate": "a=b", "baggage": ";;;"}])
def test_headers_that_bring_nothing_start_anew(headers: Mapping[str, str]) -> None:
    with start_span("before") as before, baggage(user="1"), continue_from(headers):
        span = start_span("work")
        assert get_baggage() == {}

    assert span.parent_span_id is None
    assert span.trace_id != before.trace_id


def test_baggage_is_added_and_taken_out_for_the_block() -> None:
    with baggage(user="1", plan="pro"):
        with baggage({"user": None, "shop.id": "7"}):
            assert get_baggage() == {"plan": "pro", "shop.id": "7"}
        assert get_baggage() == {"user": "1", "plan": "pro"}
    assert get_baggage() == {}


@given(st.dictionaries(tokens, st.text(max_size=30), max_size=5))
def test_any_text_arrives_as_it_was_sent(values: dict[str, str]) -> None:
    sendable = {name: value.encode(errors="ignore").decode() for name, value in values.items()}
    with baggage(sendable):
        headers = inject(correlation())
        stored = pack(correlation())

    assert headers.get("baggage", "").isascii()
    with continue_from(headers):
        assert get_baggage() == sendable
    assert unpack(stored).baggage == headers.get("baggage", "")


def test_values_are_percent_encoded_as_w3c_has_it() -> None:
    with baggage(user='Amélie, 100% ; "x" \\'):
        assert correlation().baggage == "user=Am%C3%A9lie%2C%20100%25%20%3B%20%22x%22%20%5C"


def test_properties_and_percent_codes_of_others_stay() -> None:
    # The example of section 3.5 of https://www.w3.org/TR/baggage/.
    header = "key1=value1;property1;property2, key2 = value2, key3=value3; propertyKey=propertyValue"
    with continue_from({"baggage": header}), baggage(mine="1"):
        assert get_baggage() == {"key1": "value1", "key2": "value2", "key3": "value3", "mine": "1"}
        sent = inject_headers()["baggage"]

    assert sent == "key1=value1;property1;property2,key2 = value2,key3=value3; propertyKey=propertyValue,mine=1"


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a,b", "é", "a\n", "a;b", '"a"'])
def test_name_that_a_header_cannot_carry_is_refused(name: str) -> None:
    with pytest.raises(BaggageError, match="UC1503"), baggage({name: "1"}):
        pass


def test_value_that_is_no_text_is_refused() -> None:
    with pytest.raises(BaggageError, match="'n' in baggage is int"), baggage(n=1):  # type: ignore[arg-type]
        pass


@pytest.mark.parametrize("values", [{f"n{n}": "1" for n in range(65)}, {"a": "x" * 8_192}])
def test_more_than_everyone_passes_on_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(BaggageError, match="8,192 characters"), baggage(values):
        pass


def test_as_much_as_everyone_passes_on_is_sent() -> None:
    with baggage({f"n{n}": "1" for n in range(64)}):
        assert len(get_baggage()) == 64
