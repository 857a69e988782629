"""One application, written for each framework: the same paths do the same things.

Not `from __future__ import annotations`: the frameworks read annotations of functions inside functions.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio.from_thread
import fastapi
import litestar
import litestar.background_tasks
import litestar.response
from fastapi import BackgroundTasks, FastAPI, WebSocket
from litestar import Litestar
from litestar.response import Stream
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute

from undercroft import Infra, current
from undercroft._core.codec import Schema
from undercroft._core.context import correlation
from undercroft._core.errors import ConfigError
from undercroft.asgi import ASGIApp, InfraMiddleware
from undercroft.contrib.litestar import UndercroftPlugin
from undercroft.email import send_email
from undercroft.logging import logger
from undercroft.queue import QueueUnavailableError, job

LARGE = "x" * 300_000


class Gate:
    """What a streaming response waits for before its second part."""

    opened = threading.Event()


@job("shop.note")
async def note(what: str) -> None: ...


async def act(what: str) -> dict[str, Any]:
    """Do what a handler does: log, enqueue, send."""
    logger.info("acting", what=what)
    handle = await note.enqueue(what)
    receipt = await send_email(to="ann@example.com", subject=what, body=what)
    return {"job": handle.id, "email": receipt.id, "request_id": correlation().request_id}


def act_in_thread(what: str) -> dict[str, Any]:
    """Do the same from a thread."""
    assert threading.current_thread().name.startswith("AnyIO worker")
    assert current().is_open
    return anyio.from_thread.run(act, what)


async def act_later() -> None:
    await act("background")


def invalid() -> None:
    Schema(dict[str, int], what="order").parse({"number": "seven"})


def unavailable() -> None:
    raise QueueUnavailableError("the store at db.internal.example is away", retry_after=7)


def misuse() -> None:
    raise ConfigError("db.internal.example has no tables", hint="look at db.internal.example")


def foreign() -> None:
    raise RuntimeError("a bug at db.internal.example")


FAILURES: dict[str, Callable[[], None]] = {
    "invalid": invalid,
    "unavailable": unavailable,
    "misuse": misuse,
    "foreign": foreign,
}


async def parts() -> AsyncIterator[bytes]:
    yield b"first"
    await anyio.to_thread.run_sync(Gate.opened.wait, abandon_on_cancel=True)
    yield b"second"


async def endless() -> AsyncIterator[bytes]:
    while True:
        await anyio.lowlevel.checkpoint()  # a server does not wait for a client that is gone
        yield b"x" * 65536


# Starlette


async def starlette_act(_: Request) -> Response:
    return JSONResponse(await act("async"))


def starlette_thread(_: Request) -> Response:
    return JSONResponse(act_in_thread("thread"))


async def starlette_background(_: Request) -> Response:
    return JSONResponse({}, background=BackgroundTask(act_later))


async def starlette_fail(request: Request) -> Response:
    FAILURES[request.path_params["how"]]()
    raise AssertionError


async def starlette_on_purpose(_: Request) -> Response:
    return JSONResponse({"mine": True}, status_code=500, headers={"x-mine": "1"})


async def starlette_large(_: Request) -> Response:
    return PlainTextResponse(LARGE, status_code=500)


async def starlette_stream(request: Request) -> Response:
    return StreamingResponse(parts(), status_code=int(request.path_params["status"]))


async def starlette_endless(_: Request) -> Response:
    return StreamingResponse(endless())


async def websocket(socket: WebSocket) -> None:
    if socket.query_params.get("how") == "refuse":
        await socket.close()
        return
    await socket.accept()
    if socket.query_params.get("how") == "fail":
        foreign()
    await socket.send_json(await act("websocket"))
    await socket.close()


STARLETTE_ROUTES = [
    Route("/act", starlette_act),
    Route("/thread", starlette_thread),
    Route("/background", starlette_background),
    Route("/fail/{how}", starlette_fail),
    Route("/on-purpose", starlette_on_purpose),
    Route("/large", starlette_large),
    Route("/stream/{status}", starlette_stream),
    Route("/endless", starlette_endless),
    WebSocketRoute("/ws", websocket),
]


class PassOn(BaseHTTPMiddleware):
    """Starlette's own way to write middleware, which runs the rest in another task."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        assert current().is_open
        return await call_next(request)


def starlette_wrapped(infra: Infra) -> ASGIApp:
    return InfraMiddleware(Starlette(routes=STARLETTE_ROUTES), infra)


def starlette_added(infra: Infra) -> ASGIApp:
    app = Starlette(routes=STARLETTE_ROUTES)
    app.add_middleware(InfraMiddleware, infra=infra)
    return app


def starlette_behind_base_http_middleware(infra: Infra) -> ASGIApp:
    app = Starlette(routes=STARLETTE_ROUTES)
    app.add_middleware(PassOn)
    return InfraMiddleware(app, infra)


# FastAPI


def fastapi_app() -> FastAPI:
    app = FastAPI()

    @app.get("/act")
    async def handle_act() -> dict[str, Any]:
        return await act("async")

    @app.get("/thread")
    def handle_thread() -> dict[str, Any]:
        return act_in_thread("thread")

    @app.get("/background")
    async def handle_background(tasks: BackgroundTasks) -> dict[str, Any]:
        tasks.add_task(act_later)
        return {}

    @app.get("/fail/{how}")
    async def handle_fail(how: str) -> None:
        FAILURES[how]()

    @app.get("/on-purpose")
    async def handle_on_purpose() -> fastapi.Response:
        return fastapi.responses.JSONResponse({"mine": True}, status_code=500, headers={"x-mine": "1"})

    @app.get("/large")
    async def handle_large() -> fastapi.Response:
        return fastapi.responses.PlainTextResponse(LARGE, status_code=500)

    @app.get("/stream/{status}")
    async def handle_stream(status: int) -> fastapi.Response:
        return fastapi.responses.StreamingResponse(parts(), status_code=status)

    @app.get("/endless")
    async def handle_endless() -> fastapi.Response:
        return fastapi.responses.StreamingResponse(endless())

    app.add_api_websocket_route("/ws", websocket)
    return app


def fastapi_wrapped(infra: Infra) -> ASGIApp:
    return InfraMiddleware(fastapi_app(), infra)


def fastapi_added(infra: Infra) -> ASGIApp:
    app = fastapi_app()
    app.add_middleware(InfraMiddleware, infra=infra)
    return app


# Litestar


@litestar.get("/act")
async def litestar_act() -> dict[str, Any]:
    return await act("async")


async def remember_loop(app: Litestar) -> None:
    app.state.loop = asyncio.get_running_loop()


@litestar.get("/thread", sync_to_thread=True)
def litestar_thread(request: litestar.Request[Any, Any, Any]) -> dict[str, Any]:
    # Litestar's threads are asyncio's, with the context; anyio.from_thread does not know them.
    assert threading.current_thread().name.startswith("asyncio_")
    assert current().is_open
    return asyncio.run_coroutine_threadsafe(act("thread"), request.app.state.loop).result(5)


@litestar.get("/background")
async def litestar_background() -> litestar.Response[dict[str, Any]]:
    return litestar.Response({}, background=litestar.background_tasks.BackgroundTask(act_later))


@litestar.get("/fail/{how:str}")
async def litestar_fail(request: litestar.Request[Any, Any, Any]) -> None:
    FAILURES[request.path_params["how"]]()


@litestar.get("/on-purpose")
async def litestar_on_purpose() -> litestar.Response[dict[str, Any]]:
    return litestar.Response({"mine": True}, status_code=500, headers={"x-mine": "1"})


@litestar.get("/large")
async def litestar_large() -> litestar.Response[str]:
    return litestar.Response(LARGE, status_code=500, media_type="text/plain")


@litestar.get("/stream/{status:int}")
async def litestar_stream(request: litestar.Request[Any, Any, Any]) -> Stream:
    return Stream(parts(), status_code=request.path_params["status"])


@litestar.get("/endless")
async def litestar_endless() -> Stream:
    return Stream(endless())


@litestar.websocket("/ws")
async def litestar_websocket(socket: litestar.WebSocket[Any, Any, Any]) -> None:
    if socket.query_params.get("how") == "refuse":
        await socket.close()
        return
    await socket.accept()
    if socket.query_params.get("how") == "fail":
        foreign()
    await socket.send_json(await act("websocket"))
    await socket.close()


def litestar_wrapped(infra: Infra) -> ASGIApp:
    handlers = [
        litestar_act,
        litestar_thread,
        litestar_background,
        litestar_fail,
        litestar_on_purpose,
        litestar_large,
        litestar_stream,
        litestar_endless,
        litestar_websocket,
    ]
    return InfraMiddleware(Litestar(handlers, plugins=[UndercroftPlugin()], on_startup=[remember_loop]), infra)


FRAMEWORKS: dict[str, Callable[[Infra], ASGIApp]] = {
    "starlette, wrapped": starlette_wrapped,
    "starlette, added": starlette_added,
    "starlette behind BaseHTTPMiddleware": starlette_behind_base_http_middleware,
    "fastapi, wrapped": fastapi_wrapped,
    "fastapi, added": fastapi_added,
    "litestar, wrapped": litestar_wrapped,
}
