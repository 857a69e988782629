"""Requests and websockets through the middleware: path, query, headers and body, and what handlers raise."""

from __future__ import annotations

from contextlib import suppress

from tests.asgi._calls import answering, call, http_scope, raising
from tests.canary._world import World
from undercroft import Infra
from undercroft._core.codec import Schema
from undercroft._core.errors import InvalidDataError
from undercroft.asgi import ASGIApp, InfraMiddleware, Message, Receive, Scope, Send
from undercroft.logging import logger
from undercroft.queue import QueueUnavailableError


async def drive(world: World) -> None:
    headers = [
        ("x-request-id", "mark-request"),
        ("authorization", f"Bearer {world.secret('http.authorization')}"),
        ("cookie", f"session={world.secret('http.cookie')}; theme=dark"),
        ("x-api-key", world.secret("http.api_key")),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("baggage", f"session_token={world.secret('http.baggage')},user=7"),
    ]
    query = f"q=1&token={world.secret('http.query')}".encode()
    for path in ("/mark-orders", f"/u/{world.secret('http.path_email')}", f"/reset/{world.secret('http.path_jwt')}"):
        for env in ("development", "production"):
            async with Infra(environ={"UNDERCROFT_ENV": env}, email_from="s@example.com", home=world.home) as infra:
                for app in _applications(world):
                    await _request(
                        world, InfraMiddleware(app, infra), http_scope(path, headers=headers, query_string=query)
                    )
    await _websocket(world)
    world.expect("mark-orders", "mark-request", "mark-inside", "mark-wrong", "UC0102")


def _applications(world: World) -> list[ASGIApp]:
    async def logs(scope: Scope, receive: Receive, send: Send) -> None:
        logger.info("mark-inside", headers=scope["headers"], scope={"headers": dict(scope["headers"])})
        await answering(200, b"fine")(scope, receive, send)

    return [
        answering(404),
        logs,
        raising(_invalid(world.secret("http.body"))),
        raising(
            RuntimeError(f"mark-wrong: https://u:{world.secret('http.body')}@h?token={world.secret('http.query')}")
        ),
        raising(QueueUnavailableError("mark-wrong: the queue is away")),
    ]


def _invalid(text: str) -> InvalidDataError:
    try:
        Schema(dict[str, int], what="order").parse({"number": text})
    except InvalidDataError as error:
        return error
    raise AssertionError


async def _request(world: World, app: ASGIApp, scope: Scope) -> None:
    with suppress(RuntimeError):
        answer = await call(app, scope)
        world.take("answers", answer.body, *(value for _, value in answer.start["headers"]))


async def _websocket(world: World) -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("mark-wrong: no such room")

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        world.take("answers", repr(message))

    query = f"token={world.secret('http.websocket')}".encode()
    async with Infra(environ={}, email_from="s@example.com", home=world.home) as infra:
        scope = {"type": "websocket", "path": "/mark-ws", "query_string": query, "headers": []}
        with suppress(RuntimeError):
            await InfraMiddleware(fails, infra)(scope, receive, send)
    world.expect("mark-ws")
