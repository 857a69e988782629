"""One line for each request, when it is over."""

import asyncio
from contextlib import suppress

import pytest

from tests.asgi._calls import Answer, LogLines, answering, call, captured_lines, http_scope, raising
from undercroft import Infra
from undercroft._core.clock import VirtualClock
from undercroft._core.errors import InvalidDataError
from undercroft.asgi import ASGIApp, InfraMiddleware, Message, Receive, Scope, Send
from undercroft.logging import logger
from undercroft.queue import QueueUnavailableError

pytestmark = pytest.mark.anyio


async def test_the_line_says_what_was_asked_and_answered(infra: Infra, lines: LogLines) -> None:
    scope = http_scope("/orders/7", "DELETE", headers=[("x-request-id", "mine")])
    await call(InfraMiddleware(answering(204), infra), scope)
    (line,) = lines.access
    assert (line["level"], line["message"], line["request_id"]) == ("info", "request", "mine")
    assert (line["method"], line["path"], line["status"]) == ("DELETE", "/orders/7", 204)
    assert line["duration_ms"] >= 0
    assert len(line["trace_id"]) == 32


async def test_the_query_string_is_not_in_the_log(infra: Infra, lines: LogLines) -> None:
    await call(InfraMiddleware(answering(), infra))
    assert "in-the-query" not in lines.getvalue()


async def test_lines_of_the_application_carry_the_names_of_the_request(infra: Infra, lines: LogLines) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        logger.info("inside")
        await answering()(scope, receive, send)

    await call(InfraMiddleware(app, infra), http_scope(headers=[("x-request-id", "mine")]))
    inside, access = [line for line in lines.all if line["message"] in ("inside", "request")]
    assert (inside["request_id"], inside["span_id"]) == ("mine", access["span_id"])


def after_answering(error: BaseException) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answering(201)(scope, receive, send)
        raise error

    return app


CASES = [
    (answering(404), "info", 404, None),
    (answering(500), "error", 500, None),
    (answering(503), "error", 503, None),
    (raising(InvalidDataError("no")), "info", 422, "InvalidDataError"),
    (raising(QueueUnavailableError("no")), "error", 503, "QueueUnavailableError"),
    (raising(RuntimeError("no")), "error", 500, "RuntimeError"),
    (after_answering(RuntimeError("no")), "error", 201, "RuntimeError"),
    (after_answering(InvalidDataError("no")), "error", 201, "InvalidDataError"),
    (raising(asyncio.CancelledError()), "warning", None, "CancelledError"),
    (after_answering(asyncio.CancelledError()), "warning", 201, "CancelledError"),
]


@pytest.mark.parametrize(("app", "level", "status", "error_type"), CASES, ids=range(len(CASES)))
async def test_there_is_one_line_whatever_happens(
    infra: Infra, lines: LogLines, app: ASGIApp, level: str, status: int | None, error_type: str | None
) -> None:
    with suppress(Exception, asyncio.CancelledError):
        await call(InfraMiddleware(app, infra))
    (line,) = lines.access
    assert (line["level"], line["status"], line.get("error_type")) == (level, status, error_type)


async def test_an_application_that_does_not_answer_is_a_warning(infra: Infra, lines: LogLines) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None: ...

    await call(InfraMiddleware(app, infra))
    (line,) = lines.access
    assert (line["level"], line["status"]) == ("warning", None)


async def test_the_duration_ends_with_the_response_and_not_with_what_runs_after_it() -> None:
    clock = VirtualClock()
    infra = Infra(environ={}, clock=clock)
    done = Answer()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await clock.advance("250ms")
        await answering()(scope, receive, send)
        await clock.advance("1h")

    with captured_lines() as lines:
        await call(InfraMiddleware(app, infra), answer=done)
    assert lines.access[0]["duration_ms"] == 250.0


async def test_the_line_is_written_after_the_response_was_sent(infra: Infra, lines: LogLines) -> None:
    seen: list[int] = []

    async def send(message: Message) -> None:
        seen.append(len(lines.access))

    async def receive() -> Message:
        raise AssertionError

    await InfraMiddleware(answering(), infra)(http_scope(), receive, send)
    assert (seen, len(lines.access)) == ([0, 0], 1)


async def test_a_hostile_path_stays_on_its_line(infra: Infra, lines: LogLines) -> None:
    await call(InfraMiddleware(answering(), infra), http_scope('/a\r\n{"level":"forged"}'))
    (line,) = lines.access
    assert line["path"] == '/a\r\n{"level":"forged"}'
    assert len(lines.getvalue().splitlines()) == len(lines.all)
