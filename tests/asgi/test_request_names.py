"""What a request is called: its id, and its place in a trace."""

import re

import pytest

from tests.asgi._calls import answering, call, http_scope
from undercroft import Infra
from undercroft._core.context import Correlation, correlation
from undercroft._core.ids import is_id
from undercroft.asgi import InfraMiddleware, Receive, Scope, Send

pytestmark = pytest.mark.anyio


class Names:
    """An application that keeps what its requests were called."""

    def __init__(self) -> None:
        self.seen: list[Correlation] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(correlation())
        await answering()(scope, receive, send)


async def names_for(infra: Infra, *headers: tuple[str, str]) -> tuple[Correlation, str]:
    """Return what a request with these headers is called inside, and its answer's `x-request-id`."""
    names = Names()
    answer = await call(InfraMiddleware(names, infra), http_scope(headers=headers))
    (seen,) = names.seen
    return seen, answer.header("x-request-id")


async def test_a_request_without_an_id_gets_one_and_says_it(infra: Infra) -> None:
    seen, said = await names_for(infra)
    assert said == seen.request_id
    assert is_id(said)


async def test_ids_are_new_for_each_request_and_sort_by_time(infra: Infra) -> None:
    app = InfraMiddleware(answering(), infra)
    ids = [(await call(app)).header("x-request-id") for _ in range(100)]
    assert ids == sorted(set(ids))


@pytest.mark.parametrize("asked", ["a", "abc-123", "urn:uuid:6f1e/3+4=@x_y.z", "x" * 128])
async def test_the_clients_id_is_taken(infra: Infra, asked: str) -> None:
    seen, said = await names_for(infra, ("X-Request-Id", asked))
    assert (seen.request_id, said) == (asked, asked)


async def test_a_correlation_id_is_taken_where_there_is_no_request_id(infra: Infra) -> None:
    seen, said = await names_for(infra, ("x-correlation-id", "theirs"))
    assert (seen.request_id, said) == ("theirs", "theirs")
    seen, _ = await names_for(infra, ("x-correlation-id", "theirs"), ("x-request-id", "ours"))
    assert seen.request_id == "ours"


HOSTILE = [
    "",
    " ",
    "x" * 129,
    "x" * 100_000,
    "a b",
    "a\r\nset-cookie: sid=1",
    "a\nb",
    "a\x00b",
    "a\x1b[31m",
    "ünïcode",
    "a\x85b",
    '"><script>',
    "a;b",
    "a,b",
    "{{7*7}}",
    "$(id)",
]


@pytest.mark.parametrize("asked", HOSTILE, ids=range(len(HOSTILE)))
async def test_a_hostile_id_is_replaced(infra: Infra, asked: str) -> None:
    seen, said = await names_for(infra, ("x-request-id", asked))
    assert is_id(said)
    assert seen.request_id == said


async def test_of_several_ids_none_is_taken(infra: Infra) -> None:
    _, said = await names_for(infra, ("x-request-id", "one"), ("x-request-id", "two"))
    assert is_id(said)


async def test_the_answer_has_one_id_whatever_the_application_says(infra: Infra) -> None:
    app = InfraMiddleware(answering(headers=[(b"X-Request-ID", b"another"), (b"etag", b"1")]), infra)
    answer = await call(app, http_scope(headers=[("x-request-id", "mine")]))
    assert answer.headers("x-request-id") == ["mine"]
    assert answer.header("etag") == "1"


# traceparent, after the tests of W3C: https://github.com/w3c/trace-context/blob/main/test/test.py

TRACE, SPAN = "12345678901234567890123456789012", "1234567890123456"
CONTINUED = [
    f"00-{TRACE}-{SPAN}-01",
    f"00-{TRACE}-{SPAN}-00",
    f"cc-{TRACE}-{SPAN}-01",  # test_traceparent_version_0xcc
    f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like",
    f" 00-{TRACE}-{SPAN}-01",  # test_traceparent_ows_handling
    f"\t00-{TRACE}-{SPAN}-01\t",
    f"00-{TRACE}-{SPAN}-ff",  # flags nobody knows yet
]
REFUSED = [
    "",
    "00",
    f"00-{TRACE}-{SPAN}",
    f"00-{TRACE}-{SPAN}-01-what-the-future-will-be-like",  # test_traceparent_version_0x00
    f"cc-{TRACE}-{SPAN}-01.what-the-future-will-be-like",
    f"ff-{TRACE}-{SPAN}-01",  # test_traceparent_version_0xff
    f".0-{TRACE}-{SPAN}-01",  # test_traceparent_version_illegal_characters
    f"0.-{TRACE}-{SPAN}-01",
    f"000-{TRACE}-{SPAN}-01",  # test_traceparent_version_too_long
    f"0000-{TRACE}-{SPAN}-01",
    f"0-{TRACE}-{SPAN}-01",  # test_traceparent_version_too_short
    f"00-{'0' * 32}-{SPAN}-01",  # test_traceparent_trace_id_all_zero
    f"00-.{TRACE[1:]}-{SPAN}-01",  # test_traceparent_trace_id_illegal_characters
    f"00-{TRACE[:-1]}.-{SPAN}-01",
    f"00-{TRACE}3-{SPAN}-01",  # test_traceparent_trace_id_too_long
    f"00-{TRACE[:-1]}-{SPAN}-01",  # test_traceparent_trace_id_too_short
    f"00-{TRACE}-{'0' * 16}-01",  # test_traceparent_parent_id_all_zero
    f"00-{TRACE}-.{SPAN[1:]}-01",  # test_traceparent_parent_id_illegal_characters
    f"00-{TRACE}-{SPAN}7-01",  # test_traceparent_parent_id_too_long
    f"00-{TRACE}-{SPAN[:-1]}-01",  # test_traceparent_parent_id_too_short
    f"00-{TRACE}-{SPAN}-.0",  # test_traceparent_trace_flags_illegal_characters
    f"00-{TRACE}-{SPAN}-001",  # test_traceparent_trace_flags_too_long
    f"00-{TRACE}-{SPAN}-1",  # test_traceparent_trace_flags_too_short
    f"00-{TRACE.replace('1', 'A')}-{SPAN}-01",
    f"00-{TRACE}-{SPAN}-01\r\nx: y",
]


@pytest.mark.parametrize("given", CONTINUED, ids=range(len(CONTINUED)))
async def test_a_valid_trace_is_continued_with_a_span_of_our_own(infra: Infra, given: str) -> None:
    seen, _ = await names_for(infra, ("traceparent", given))
    assert seen.trace is not None
    assert seen.trace.trace_id == TRACE
    assert seen.trace.span_id != SPAN
    assert re.fullmatch(r"[0-9a-f]{16}", seen.trace.span_id)


@pytest.mark.parametrize("given", REFUSED, ids=range(len(REFUSED)))
async def test_a_trace_that_is_not_valid_is_started_anew(infra: Infra, given: str) -> None:
    seen, _ = await names_for(infra, ("traceparent", given))
    assert seen.trace is not None
    assert seen.trace.trace_id != TRACE
    assert re.fullmatch(r"[0-9a-f]{32}", seen.trace.trace_id)


async def test_of_several_traces_none_is_continued(infra: Infra) -> None:  # test_traceparent_duplicated
    seen, _ = await names_for(
        infra, ("traceparent", f"00-{TRACE[::-1]}-{SPAN}-01"), ("traceparent", f"00-{TRACE}-{SPAN}-01")
    )
    assert seen.trace is not None
    assert seen.trace.trace_id not in (TRACE, TRACE[::-1])


@pytest.mark.parametrize(("flags", "is_sampled"), [("01", True), ("00", False), ("03", True), ("02", False)])
async def test_the_decision_to_sample_is_kept(infra: Infra, flags: str, is_sampled: bool) -> None:
    seen, _ = await names_for(infra, ("traceparent", f"00-{TRACE}-{SPAN}-{flags}"))
    assert seen.trace is not None
    assert seen.trace.is_sampled is is_sampled


async def test_a_request_leaves_nothing_behind(infra: Infra) -> None:
    await names_for(infra, ("x-request-id", "mine"))
    assert correlation() == Correlation()
