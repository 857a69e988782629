"""The span of a request: its name, its parent, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests._spans import TakenSpans, taken_spans
from tests.asgi._calls import answering, call, captured_lines, http_scope, raising
from undercroft import Infra
from undercroft._core.errors import InvalidDataError
from undercroft.asgi import InfraMiddleware
from undercroft.monitoring import inject_headers, start_span

pytestmark = pytest.mark.anyio

TRACE, SPAN = "12345678901234567890123456789012", "1234567890123456"


@pytest.fixture
def taken(infra: Infra) -> Iterator[TakenSpans]:
    with taken_spans() as spans:
        yield spans


def shop() -> Starlette:
    async def order(request: Request) -> JSONResponse:
        with start_span("load order"):
            return JSONResponse(inject_headers())

    return Starlette(routes=[Route("/orders/{order}", order)])


async def test_a_request_is_a_span_named_after_its_route(infra: Infra, taken: TakenSpans) -> None:
    await call(InfraMiddleware(shop(), infra), http_scope("/orders/7", server=("shop.example", 443), scheme="https"))
    child, request = taken
    assert (request.name, request.kind, request.status) == ("GET /orders/{order}", "server", "unset")
    assert request.attributes == {
        "http.request.method": "GET",
        "http.route": "/orders/{order}",
        "http.response.status_code": 200,
        "url.path": "/orders/7",
        "url.scheme": "https",
        "network.protocol.version": "1.1",
        "server.address": "shop.example",
        "server.port": 443,
    }
    assert (child.trace_id, child.parent_span_id) == (request.trace_id, request.span_id)


async def test_the_clients_trace_its_state_and_its_baggage_go_on(infra: Infra, taken: TakenSpans) -> None:
    headers = [
        ("traceparent", f"00-{TRACE}-{SPAN}-01"),
        ("tracestate", "one=1"),
        ("tracestate", "two=2"),
        ("baggage", "user=ann"),
    ]
    answer = await call(InfraMiddleware(shop(), infra), http_scope("/orders/7", headers=headers))
    child, request = taken
    assert (request.trace_id, request.parent_span_id, request.is_parent_remote) == (TRACE, SPAN, True)
    assert request.trace_state == "one=1,two=2"
    sent = json.loads(answer.body)
    assert sent == {"traceparent": f"00-{TRACE}-{child.span_id}-01", "tracestate": "one=1,two=2", "baggage": "user=ann"}


async def test_a_trace_that_its_client_does_not_record_is_not_recorded(infra: Infra, taken: TakenSpans) -> None:
    await call(
        InfraMiddleware(shop(), infra), http_scope("/orders/7", headers=[("traceparent", f"00-{TRACE}-{SPAN}-00")])
    )
    assert taken == []


async def test_lines_of_a_request_carry_its_span(infra: Infra, taken: TakenSpans) -> None:
    with captured_lines() as lines:
        await call(InfraMiddleware(answering(), infra), http_scope())
    (line,) = lines.access
    assert (line["trace_id"], line["span_id"]) == (taken[0].trace_id, taken[0].span_id)


@pytest.mark.parametrize(
    ("status", "is_error"), [(200, False), (302, False), (404, False), (429, False), (500, True), (503, True)]
)
async def test_only_a_failure_on_our_side_is_an_error(
    infra: Infra, taken: TakenSpans, status: int, is_error: bool
) -> None:
    await call(InfraMiddleware(answering(status), infra))
    assert taken[0].attributes["http.response.status_code"] == status
    assert taken[0].status == ("error" if is_error else "unset")
    assert taken[0].attributes.get("error.type") == (str(status) if is_error else None)


async def test_an_exception_is_recorded_and_goes_on(infra: Infra, taken: TakenSpans) -> None:
    with pytest.raises(KeyError):
        await call(InfraMiddleware(raising(KeyError("price")), infra))
    assert (taken[0].status, taken[0].attributes["error.type"]) == ("error", "KeyError")
    assert [event.name for event in taken[0].events] == ["exception"]


async def test_a_refusal_that_became_a_problem_document_is_no_error(infra: Infra, taken: TakenSpans) -> None:
    answer = await call(InfraMiddleware(raising(InvalidDataError("no")), infra))
    assert (answer.status, taken[0].status) == (422, "unset")


async def test_probes_have_no_span(infra: Infra, taken: TakenSpans) -> None:
    for path in ("/livez", "/readyz", "/health"):
        await call(InfraMiddleware(answering(), infra), http_scope(path))
    assert taken == []


async def test_a_method_that_was_made_up_names_no_span(infra: Infra, taken: TakenSpans) -> None:
    await call(InfraMiddleware(answering(), infra), http_scope(method="JEFF"))
    assert (taken[0].name, taken[0].attributes["http.request.method_original"]) == ("_OTHER", "JEFF")
