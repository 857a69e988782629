"""Websockets by hand; the tests of all frameworks hold the rest on a real socket."""

import pytest

from tests.asgi._calls import LogLines
from undercroft import Infra, current
from undercroft._core.errors import InvalidDataError
from undercroft.asgi import ASGIApp, InfraMiddleware, Message, Receive, Scope, Send

pytestmark = pytest.mark.anyio


async def connect(app: ASGIApp) -> list[Message]:
    """Open a websocket and return what the application said."""
    said: list[Message] = []
    scope = {"type": "websocket", "path": "/ws", "headers": [(b"x-request-id", b"mine")]}

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        said.append(message)

    await app(scope, receive, send)
    return said


def saying(*messages: Message) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert current().is_open
        for message in messages:
            await send(message)

    return app


ACCEPT: Message = {"type": "websocket.accept", "headers": [(b"x-mine", b"1")]}
CLOSE: Message = {"type": "websocket.close", "code": 1000}


async def test_accepting_says_the_id(infra: Infra, lines: LogLines) -> None:
    accepted, _ = await connect(InfraMiddleware(saying(ACCEPT, CLOSE), infra))
    assert accepted["headers"] == [(b"x-mine", b"1"), (b"x-request-id", b"mine")]
    assert [line["status"] for line in lines.access] == [101]


async def test_closing_without_accepting_is_a_403(infra: Infra, lines: LogLines) -> None:
    assert await connect(InfraMiddleware(saying(CLOSE), infra)) == [CLOSE]
    assert [(line["status"], line["level"]) for line in lines.access] == [(403, "info")]


async def test_an_answer_in_the_place_of_a_websocket_says_the_id(infra: Infra, lines: LogLines) -> None:
    start: Message = {"type": "websocket.http.response.start", "status": 401, "headers": []}
    body: Message = {"type": "websocket.http.response.body", "body": b"who are you?"}
    denied, _ = await connect(InfraMiddleware(saying(start, body), infra))
    assert denied["headers"] == [(b"x-request-id", b"mine")]
    assert [line["status"] for line in lines.access] == [401]


async def test_an_error_of_ours_reaches_the_server(infra: Infra, lines: LogLines) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise InvalidDataError("no")

    with pytest.raises(InvalidDataError):
        await connect(InfraMiddleware(app, infra))
    (line,) = lines.access
    assert (line["level"], line["code"], line["method"]) == ("error", "UC0102", "WEBSOCKET")


async def test_health_paths_are_the_applications(infra: Infra) -> None:
    scope = {"type": "websocket", "path": "/health", "headers": []}
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["path"])

    async def nothing(*_: object) -> Message:
        return {}

    await InfraMiddleware(app, infra)(scope, nothing, nothing)  # type: ignore[arg-type]  # nobody sends here
    assert seen == ["/health"]
