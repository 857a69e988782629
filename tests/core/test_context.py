"""Traces by W3C Trace Context, request ids, and what work is called."""

from __future__ import annotations

import asyncio
import string

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft._core.context import Correlation, Trace, correlate, correlation, is_request_id

pytestmark = pytest.mark.anyio
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
hex_digits = st.text("0123456789abcdef", min_size=1)


def hex_of(length: int) -> st.SearchStrategy[str]:
    return st.text("0123456789abcdef", min_size=length, max_size=length).filter(lambda text: text.strip("0") != "")


# Section 3.2 of https://www.w3.org/TR/trace-context/ and the cases of its test suite
# (https://github.com/w3c/trace-context/blob/main/test/test.py), named as they are there.
VALID = {
    "example sampled": f"00-{TRACE_ID}-{SPAN_ID}-01",
    "example not sampled": f"00-{TRACE_ID}-{SPAN_ID}-00",
    "flags other bits": f"00-{TRACE_ID}-{SPAN_ID}-ff",
    "version 0xcc": f"cc-{TRACE_ID}-{SPAN_ID}-01",
    "version 0xcc with the future": f"cc-{TRACE_ID}-{SPAN_ID}-01-what-the-future-will-be-like",
    "ows before": f" \t00-{TRACE_ID}-{SPAN_ID}-01",
    "ows after": f"00-{TRACE_ID}-{SPAN_ID}-01\t ",
}
INVALID = {
    "empty": "",
    "header name only": "traceparent",
    "version 0x00 with more": f"00-{TRACE_ID}-{SPAN_ID}-01-what-the-future-will-be-like",
    "version 0x00 with a dash": f"00-{TRACE_ID}-{SPAN_ID}-01-",
    "version 0x00 with a point": f"00-{TRACE_ID}-{SPAN_ID}-01.",
    "version 0xcc with a point": f"cc-{TRACE_ID}-{SPAN_ID}-01.what-the-future-will-not-be-like",
    "version 0xff": f"ff-{TRACE_ID}-{SPAN_ID}-01",
    "version illegal characters": f".0-{TRACE_ID}-{SPAN_ID}-01",
    "version illegal characters behind": f"0.-{TRACE_ID}-{SPAN_ID}-01",
    "version too long": f"000-{TRACE_ID}-{SPAN_ID}-01",
    "version too short": f"0-{TRACE_ID}-{SPAN_ID}-01",
    "version upper case": f"CC-{TRACE_ID}-{SPAN_ID}-01",
    "trace id all zero": f"00-{'0' * 32}-{SPAN_ID}-01",
    "trace id illegal characters": f"00-.{TRACE_ID[1:]}-{SPAN_ID}-01",
    "trace id upper case": f"00-{TRACE_ID.upper()}-{SPAN_ID}-01",
    "trace id too long": f"00-{TRACE_ID}1-{SPAN_ID}-01",
    "trace id too short": f"00-{TRACE_ID[1:]}-{SPAN_ID}-01",
    "parent id all zero": f"00-{TRACE_ID}-{'0' * 16}-01",
    "parent id illegal characters": f"00-{TRACE_ID}-{SPAN_ID[:-1]}.-01",
    "parent id upper case": f"00-{TRACE_ID}-{SPAN_ID.upper()}-01",
    "parent id too long": f"00-{TRACE_ID}-{SPAN_ID}1-01",
    "parent id too short": f"00-{TRACE_ID}-{SPAN_ID[1:]}-01",
    "flags illegal characters": f"00-{TRACE_ID}-{SPAN_ID}-.0",
    "flags too long": f"00-{TRACE_ID}-{SPAN_ID}-001",
    "flags too short": f"00-{TRACE_ID}-{SPAN_ID}-1",
    "flags upper case": f"00-{TRACE_ID}-{SPAN_ID}-0A",
    "two values": f"00-{TRACE_ID}-{SPAN_ID}-01,00-{TRACE_ID}-{SPAN_ID}-01",
    "line break inside": f"cc-{TRACE_ID}-{SPAN_ID}-01-a\nb",
    "digits of another script": f"00-{TRACE_ID[:-1]}٣-{SPAN_ID}-01",
}


@pytest.mark.parametrize("header", VALID.values(), ids=VALID)
def test_valid_traceparent_is_read(header: str) -> None:
    trace = Trace.parse(header)

    assert trace is not None
    assert (trace.trace_id, trace.span_id) == (TRACE_ID, SPAN_ID)


@pytest.mark.parametrize("header", INVALID.values(), ids=INVALID)
def test_invalid_traceparent_is_not_read(header: str) -> None:
    assert Trace.parse(header) is None


@pytest.mark.parametrize(("flags", "is_sampled"), [("00", False), ("01", True), ("02", False), ("03", True)])
def test_sampling_is_the_lowest_bit_of_the_flags(flags: str, is_sampled: bool) -> None:
    trace = Trace.parse(f"00-{TRACE_ID}-{SPAN_ID}-{flags}")

    assert trace is not None
    assert trace.is_sampled is is_sampled


@given(st.builds(Trace, trace_id=hex_of(32), span_id=hex_of(16), is_sampled=st.booleans()))
def test_written_traceparent_is_read_back(trace: Trace) -> None:
    assert Trace.parse(str(trace)) == trace


def test_header_of_a_future_version_is_passed_on_as_ours() -> None:
    assert str(Trace.parse(VALID["version 0xcc with the future"])) == f"00-{TRACE_ID}-{SPAN_ID}-01"


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    trace = Trace.parse(text)

    assert trace is None or Trace.parse(str(trace)) == trace


def test_new_traces_are_valid_and_different() -> None:
    traces = [Trace.new() for _ in range(100)]

    assert [Trace.parse(str(trace)) for trace in traces] == traces
    assert len({trace.trace_id for trace in traces}) == 100


@pytest.mark.parametrize("is_sampled", [True, False])
def test_child_is_another_span_of_the_same_trace(is_sampled: bool) -> None:
    parent = Trace(trace_id=TRACE_ID, span_id=SPAN_ID, is_sampled=is_sampled)
    child = parent.child()

    assert (child.trace_id, child.is_sampled) == (TRACE_ID, is_sampled)
    assert child.span_id != SPAN_ID


@given(st.text(string.ascii_letters + string.digits + "._:/+=@-", min_size=1, max_size=128))
def test_plain_request_id_may_be_taken_over(text: str) -> None:
    assert is_request_id(text)


@pytest.mark.parametrize(
    "text", ["", "a" * 129, "a b", "a\n", "a\r\nx: y", "\x1b[31m", "a;b", 'a"b', "<a>", "é", "٣", "a\x00", "a,b", "{a}"]
)
def test_other_request_id_may_not_be_taken_over(text: str) -> None:
    assert not is_request_id(text)


def test_request_id_may_have_128_characters() -> None:
    assert is_request_id("a" * 128)


def test_nothing_is_named_outside_of_any_work() -> None:
    assert correlation() == Correlation()


def test_names_hold_for_the_block_only() -> None:
    with correlate(Correlation(request_id="r1")):
        inside = correlation().request_id

    assert (inside, correlation().request_id) == ("r1", None)


def test_inner_names_replace_the_outer_ones() -> None:
    with correlate(Correlation(request_id="r1")), correlate(Correlation(job_id="j1")):
        assert correlation() == Correlation(job_id="j1")


def test_names_end_with_a_block_that_raises() -> None:
    with pytest.raises(KeyError), correlate(Correlation(request_id="r1")):
        raise KeyError

    assert correlation() == Correlation()


async def test_names_reach_tasks_and_threads() -> None:
    async def in_task() -> str | None:
        return correlation().request_id

    with correlate(Correlation(request_id="r1")):
        task = asyncio.create_task(in_task())
        in_thread = await anyio.to_thread.run_sync(lambda: correlation().request_id)

    assert (await task, in_thread) == ("r1", "r1")


async def test_names_of_one_task_are_not_seen_by_its_neighbour() -> None:
    both_named = asyncio.Barrier(2)

    async def work(name: str) -> str | None:
        with correlate(Correlation(request_id=name)):
            await asyncio.wait_for(both_named.wait(), 5)
            return correlation().request_id

    assert await asyncio.gather(work("a"), work("b")) == ["a", "b"]


def test_fields_are_the_names_that_apply() -> None:
    trace = Trace(trace_id=TRACE_ID, span_id=SPAN_ID)

    assert Correlation(request_id="r1", trace=trace).fields() == {
        "request_id": "r1",
        "trace_id": TRACE_ID,
        "span_id": SPAN_ID,
    }


def test_names_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Correlation().request_id = "r1"  # type: ignore[misc]
