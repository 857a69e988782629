"""What the client and the server get when a request goes wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.asgi._calls import Answer, LogLines, answering, call, http_scope, raising
from undercroft import Infra
from undercroft._core.codec import Schema
from undercroft._core.errors import ConfigError, InvalidDataError, UndercroftError
from undercroft.asgi import ASGIApp, InfraMiddleware, Receive, Scope, Send, problem_of
from undercroft.email import TransportUnavailableError
from undercroft.queue import QueueUnavailableError

pytestmark = pytest.mark.anyio
HOST = "db.internal.example"


def invalid() -> InvalidDataError:
    try:
        Schema(dict[str, int], what="order").parse({"number": "seven"})
    except InvalidDataError as exc:
        return exc
    raise AssertionError


# Problem documents


async def test_an_error_of_ours_becomes_a_problem_document(infra: Infra) -> None:
    answer = await call(InfraMiddleware(raising(invalid()), infra), http_scope(headers=[("x-request-id", "mine")]))
    assert answer.status == 422
    assert answer.header("content-type") == "application/problem+json"
    assert answer.header("x-request-id") == "mine"
    assert int(answer.header("content-length")) == len(answer.body)
    assert answer.json == {
        "type": "urn:undercroft:error:UC0102",
        "title": "Invalid data",
        "status": 422,
        "code": "UC0102",
        "request_id": "mine",
        "detail": "order: Expected `int`, got `str` - at `$[...]`",
    }


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (InvalidDataError("no"), 422, []),
        (ConfigError("no"), 500, []),
        (QueueUnavailableError("no"), 503, ["5"]),
        (QueueUnavailableError("no", retry_after=0.2), 503, ["1"]),
        (TransportUnavailableError("no", transport="resend", retry_after=30), 503, ["30"]),
        (QueueUnavailableError("no", retry_after=-1), 503, ["0"]),
        (QueueUnavailableError("no", retry_after=float("inf")), 503, []),
        (UndercroftError("no"), 500, []),
    ],
)
async def test_each_error_has_its_status(
    infra: Infra, error: UndercroftError, status: int, retry_after: list[str]
) -> None:
    answer = await call(InfraMiddleware(raising(error), infra))
    assert (answer.status, answer.json["status"], answer.json["code"]) == (status, status, error.code)
    assert answer.headers("retry-after") == retry_after


ON_OUR_SIDE = ConfigError(f"cannot reach {HOST}", hint=f"look at {HOST}", near=[HOST])
OF_THE_CLIENT = InvalidDataError("order: unknown 'numbr'", hint="known: number", near=["number"])


async def document(home: Path, error: UndercroftError, env: str) -> dict[str, Any]:
    infra = Infra(environ={}, home=home, env=env)
    answer: dict[str, Any] = (await call(InfraMiddleware(raising(error), infra))).json
    return answer


@pytest.mark.parametrize("env", ["development", "test"])
async def test_what_is_wrong_on_our_side_is_told_in_development(home: Path, env: str) -> None:
    told = await document(home, ON_OUR_SIDE, env)
    assert (told["detail"], told["hint"], told["near"]) == (f"cannot reach {HOST}", f"look at {HOST}", [HOST])


async def test_what_is_wrong_on_our_side_is_not_told_in_production(home: Path) -> None:
    told = await document(home, ON_OUR_SIDE, "production")
    assert HOST not in json.dumps(told)
    assert set(told) == {"type", "title", "status", "code", "request_id"}


async def test_what_is_wrong_with_the_request_is_told_in_production_too(home: Path) -> None:
    told = await document(home, OF_THE_CLIENT, "production")
    assert (told["detail"], told["near"]) == ("order: unknown 'numbr'", ["number"])
    assert "hint" not in told


async def test_a_head_request_gets_the_headers_of_the_problem_only(infra: Infra) -> None:
    answer = await call(InfraMiddleware(raising(invalid()), infra), http_scope(method="HEAD"))
    assert (answer.status, answer.body) == (422, b"")
    assert int(answer.header("content-length")) > 0


def test_a_problem_can_be_made_outside_of_a_request() -> None:
    problem = problem_of(OF_THE_CLIENT, show_details=False)
    assert problem.status == 422
    assert "request_id" not in json.loads(problem.body)


# After the response has begun


def beginning(error: BaseException, status: int = 200) -> ASGIApp:
    """Return an application that begins its response, and then raises."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"some", "more_body": True})
        raise error

    return app


@pytest.mark.parametrize("error", [InvalidDataError("no"), RuntimeError("no")])
async def test_an_error_after_the_response_began_reaches_the_server(infra: Infra, error: Exception) -> None:
    answer = Answer()
    with pytest.raises(type(error)):
        await call(InfraMiddleware(beginning(error), infra), answer=answer)
    assert (answer.status, answer.body) == (200, b"some")


# Errors of others


async def test_a_foreign_error_reaches_the_server(infra: Infra) -> None:
    answer = Answer()
    with pytest.raises(RuntimeError, match="theirs"):
        await call(InfraMiddleware(raising(RuntimeError("theirs")), infra), answer=answer)
    assert answer.messages == []


def answering_and_raising(error: BaseException) -> ASGIApp:
    """Return what a framework does with an error that it does not know: answer 500, and raise it on."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answering(500, b"Internal Server Error")(scope, receive, send)
        raise error

    return app


async def test_the_frameworks_answer_to_a_foreign_error_is_delivered_and_the_error_goes_on(infra: Infra) -> None:
    answer = Answer()
    with pytest.raises(RuntimeError, match="theirs"):
        await call(InfraMiddleware(answering_and_raising(RuntimeError("theirs")), infra), answer=answer)
    assert (answer.status, answer.body) == (500, b"Internal Server Error")
    assert answer.header("x-request-id")


async def test_the_frameworks_answer_to_an_error_of_ours_is_replaced(infra: Infra) -> None:
    answer = await call(InfraMiddleware(answering_and_raising(QueueUnavailableError("away")), infra))
    assert (answer.status, answer.json["code"]) == (503, "UC1205")


async def test_the_servers_error_does_not_hide_the_applications(infra: Infra) -> None:
    async def send(message: object) -> None:
        raise OSError("the client is gone")

    app = InfraMiddleware(answering_and_raising(RuntimeError("theirs")), infra)
    with pytest.raises(RuntimeError, match="theirs"):
        await app(http_scope(), _nothing, send)


async def _nothing() -> dict[str, object]:
    raise AssertionError


# A 500 on purpose


@pytest.mark.parametrize("body", [b"", b"sorry", b"x" * 1_000_000])
async def test_a_500_on_purpose_is_delivered_as_it_is(infra: Infra, body: bytes) -> None:
    answer = await call(InfraMiddleware(answering(500, body, [(b"x-mine", b"1")]), infra))
    assert (answer.status, answer.body, answer.header("x-mine")) == (500, body, "1")


async def test_a_500_that_is_streamed_is_not_held_back(infra: Infra) -> None:
    answer = Answer()
    seen: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 500, "headers": []})
        for _ in range(3):
            await send({"type": "http.response.body", "body": b"some", "more_body": True})
            seen.append(len(answer.messages))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    await call(InfraMiddleware(app, infra), answer=answer)
    assert seen == [2, 3, 4]
    assert answer.body == b"some" * 3


async def test_an_answer_is_passed_on_as_it_is_written(infra: Infra) -> None:
    answer = Answer()
    seen: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(3):
            seen.append(len(answer.messages))
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body"})

    await call(InfraMiddleware(app, infra), answer=answer)
    assert seen == [1, 2, 3]


async def test_messages_of_extensions_are_passed_on(infra: Infra) -> None:
    answer = Answer()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.pathsend", "path": "/srv/sorry.html"})

    await call(InfraMiddleware(app, infra), answer=answer)
    assert [message["type"] for message in answer.messages] == ["http.response.start", "http.response.pathsend"]


async def test_an_error_of_ours_is_logged_with_where_it_came_from(infra: Infra, lines: LogLines) -> None:
    await call(InfraMiddleware(raising(ON_OUR_SIDE), infra))
    (line,) = lines.access
    assert (line["level"], line["status"], line["code"]) == ("error", 500, "UC0201")
    assert "in app" in line["error"]["stack"]
