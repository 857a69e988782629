"""Carriers of a trace and its baggage: what is valid is passed on, what is not is dropped, and nothing raises.

The cases are those of W3C's own suite (https://github.com/w3c/trace-context/blob/main/test/test.py), named as they are
there without their `test_`, and of https://www.w3.org/TR/baggage/; `traceparent` alone is in test_context.py.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft._core.carrier import Carried, checked_baggage, checked_tracestate, extract, inject, pack, unpack
from undercroft._core.context import Correlation, Trace

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"
ALL_KEY = "z0123456789abcdefghijklmnopqrstuvwxyz_-*/"
ALL_VALUE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in ",=")
A_256, Z_241, Z_14 = "z" * 256, "t" * 241, "v" * 14

KEPT = {
    "tracestate_included_traceparent_included": (["foo=1", "bar=2"], "foo=1,bar=2"),
    "tracestate_header_name: one header": (["foo=1,bar=2"], "foo=1,bar=2"),
    "tracestate_empty_header: first": (["foo=1", ""], "foo=1"),
    "tracestate_empty_header: second": (["", "foo=1"], "foo=1"),
    "tracestate_multiple_headers_different_keys": (
        ["foo=1,bar=2", "rojo=1,congo=2", "baz=3"],
        "foo=1,bar=2,rojo=1,congo=2,baz=3",
    ),
    "tracestate_duplicated_keys": (["foo=1,foo=1"], "foo=1,foo=1"),
    "tracestate_duplicated_keys: other value": (["foo=1", "foo=2"], "foo=1,foo=2"),
    "tracestate_all_allowed_characters: key": ([f"{ALL_KEY}=1"], f"{ALL_KEY}=1"),
    "tracestate_all_allowed_characters: tenant": ([f"{ALL_KEY}@a{ALL_KEY[:13]}=1"], f"{ALL_KEY}@a{ALL_KEY[:13]}=1"),
    "tracestate_all_allowed_characters: value": ([f"foo={ALL_VALUE}"], f"foo={ALL_VALUE}"),
    "tracestate_ows_handling: spaces and tabs": (["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3"),
    "tracestate_ows_handling: tabs": (["foo=1\t \t,\t \tbar=2,\t \tbaz=3"], "foo=1,bar=2,baz=3"),
    "tracestate_ows_handling: around": ([" \tfoo=1\t "], "foo=1"),
    "tracestate_key_length_limit: 256": ([f"{A_256}=1"], f"{A_256}=1"),
    "tracestate_key_length_limit: 241@14": ([f"{Z_241}@{Z_14}=1"], f"{Z_241}@{Z_14}=1"),
    "tracestate_member_count_limit: 32": (
        [",".join(f"bar{n:02}=1" for n in range(32))],
        ",".join(f"bar{n:02}=1" for n in range(32)),
    ),
    "tracestate_multiple_headers: 32": (
        [f"bar{n:02}=1" for n in range(32)],
        ",".join(f"bar{n:02}=1" for n in range(32)),
    ),
    "empty members": ([",foo=1,,bar=2,"], "foo=1,bar=2"),
    "value of 256 characters": (["foo=" + "v" * 256], "foo=" + "v" * 256),
    "key begins with a digit": (["0foo=1"], "0foo=1"),
    "space inside a value": (["foo=a b"], "foo=a b"),
}
DROPPED = {
    "tracestate_key_illegal_characters: space": ["foo =1"],
    "tracestate_key_illegal_characters: upper case": ["FOO=1"],
    "tracestate_key_illegal_characters: point": ["foo.bar=1"],
    "tracestate_key_illegal_vendor_format: no vendor": ["foo@=1,bar=2"],
    "tracestate_key_illegal_vendor_format: no tenant": ["@foo=1,bar=2"],
    "tracestate_key_illegal_vendor_format: two": ["foo@@bar=1,bar=2"],
    "tracestate_key_illegal_vendor_format: three parts": ["foo@bar@baz=1,bar=2"],
    "tracestate_key_length_limit: 257": [f"z{A_256}=1"],
    "tracestate_key_length_limit: 242@14": [f"t{Z_241}@{Z_14}=1"],
    "tracestate_key_length_limit: 241@15": [f"{Z_241}@v{Z_14}=1"],
    "tracestate_value_illegal_characters: equals": ["foo=bar=baz"],
    "tracestate_value_illegal_characters: empty": ["foo=,bar=3"],
    "tracestate_member_count_limit: 33": [",".join(f"bar{n:02}=1" for n in range(33))],
    "tracestate_multiple_headers: 33": [f"bar{n:02}=1" for n in range(33)],
    "tracestate_included_traceparent_included: no equals": ["foo"],
    "value of 257 characters": ["foo=" + "v" * 257],
    "line break": ["foo=a\r\nx: y"],
    "other script": ["foo=é"],
    "control character": ["foo=a\x00"],
    "one bad member spoils all": ["foo=1,BAR=2"],
    "nothing": [],
}


@pytest.mark.parametrize(("headers", "kept"), KEPT.values(), ids=KEPT)
def test_valid_tracestate_is_kept(headers: list[str], kept: str) -> None:
    assert checked_tracestate(headers) == kept


@pytest.mark.parametrize("headers", DROPPED.values(), ids=DROPPED)
def test_invalid_tracestate_is_dropped_whole(headers: list[str]) -> None:
    assert checked_tracestate(headers) == ""


def test_invalid_tracestate_does_not_spoil_the_traceparent() -> None:
    carried = extract({"traceparent": TRACEPARENT, "tracestate": "foo =1"})

    assert carried.trace == Trace(trace_id=TRACE_ID, span_id=SPAN_ID)


def test_tracestate_without_a_valid_traceparent_is_dropped() -> None:
    assert extract({"tracestate": "foo=1"}) == Carried()
    assert extract({"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-0", "tracestate": "foo=1"}) == Carried()


def test_future_version_keeps_its_tracestate() -> None:
    carried = extract({"traceparent": f"cc{TRACEPARENT[2:]}-later", "tracestate": "foo=1"})

    assert carried.trace == Trace(trace_id=TRACE_ID, span_id=SPAN_ID, state="foo=1")


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        (["a=1"], "a=1"),
        (["a=1,b=2;prop;other=x", "c=3"], "a=1,b=2;prop;other=x,c=3"),
        (["a = 1 ; prop = x \t, b=2"], "a = 1 ; prop = x,b=2"),
        (["a="], "a="),
        (["a=%20%C3%A9"], "a=%20%C3%A9"),
        (["SessionId=DGw"], "SessionId=DGw"),
        (["a=b=c"], "a=b=c"),
        (["a=1,,b=2"], "a=1,b=2"),
        (["a,b=2"], "b=2"),
        (["a b=1,c=2"], "c=2"),
        (["a=1 2,c=2"], "c=2"),
        (['a="1",c=2'], "c=2"),
        (["a=é,c=2"], "c=2"),
        (["a=1\r\nx: y,c=2"], "c=2"),
        (["=1,c=2"], "c=2"),
        ([], ""),
        (["", " "], ""),
    ],
)
def test_baggage_is_kept_without_members_that_are_not_valid(headers: list[str], kept: str) -> None:
    assert checked_baggage(headers) == kept


def test_baggage_is_cut_at_64_members() -> None:
    kept = checked_baggage([",".join(f"n{n}=1" for n in range(100))])

    assert kept == ",".join(f"n{n}=1" for n in range(64))


def test_baggage_is_cut_at_8192_characters() -> None:
    member = "n=" + "x" * 2_045  # four of them and three commas are 8,191 characters

    assert checked_baggage([",".join([member] * 5)]) == ",".join([member] * 4)
    assert checked_baggage(["n=" + "x" * 8_190]) == "n=" + "x" * 8_190
    assert checked_baggage(["n=" + "x" * 8_191]) == ""


_traces = st.builds(
    Trace,
    trace_id=st.integers(1, 2**128 - 1).map("{:032x}".format),
    span_id=st.integers(1, 2**64 - 1).map("{:016x}".format),
    is_sampled=st.booleans(),
    state=st.sampled_from(["", "a=b", "a=b,c@d=e f"]),
)
_names = st.builds(Correlation, trace=st.none() | _traces, baggage=st.sampled_from(["", "user=1", "a=1;p,b=%20"]))


@given(_names)
def test_what_is_injected_is_extracted(names: Correlation) -> None:
    assert extract(inject(names)) == Carried(trace=names.trace, baggage=names.baggage)


@given(_names)
def test_what_is_packed_is_unpacked(names: Correlation) -> None:
    assert unpack(pack(names)) == Carried(trace=names.trace, baggage=names.baggage)


def test_bare_trace_is_packed_as_its_traceparent() -> None:
    assert pack(Correlation(trace=Trace(trace_id=TRACE_ID, span_id=SPAN_ID))) == TRACEPARENT
    assert pack(Correlation()) is None


@given(st.text() | st.text('{}[]":,abct0123', max_size=40))
def test_no_stored_text_breaks_unpack(text: str) -> None:
    assert isinstance(unpack(text), Carried)


@given(st.dictionaries(st.sampled_from(["traceparent", "tracestate", "baggage"]), st.text()))
def test_no_header_breaks_extract_and_what_is_kept_is_sendable(headers: dict[str, str]) -> None:
    carried = extract(headers)

    sent = inject(Correlation(trace=carried.trace, baggage=carried.baggage))
    assert all(value.isascii() and value.replace("\t", " ").isprintable() for value in sent.values())
    assert extract(sent) == carried


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"traceparent": 1}', '{"traceparent": "x"}', None, ""])
def test_text_that_is_no_carrier_brings_nothing(text: str | None) -> None:
    assert unpack(text) == Carried()
