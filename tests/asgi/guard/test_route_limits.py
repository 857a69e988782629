"""Limits on single routes, under each framework.

Not `from __future__ import annotations`: the frameworks read annotations of functions inside functions.
"""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import litestar
import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from litestar import Litestar
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute

from tests.asgi._calls import Answer
from tests.asgi._server import client_of, served
from tests.asgi.guard._limits import AwayStore, ask, handshake, statuses
from undercroft import Infra
from undercroft._core.bound import bind
from undercroft.asgi import (
    ASGIApp,
    GuardConfigError,
    InfraMiddleware,
    NotInRequestError,
    RateLimitGuard,
    by_user,
    bypass_rate_limit,
    rate_limit,
    rate_limited,
)
from undercroft.contrib.litestar import UndercroftPlugin
from undercroft.ratelimit import RateLimits, RatePolicy, SlidingWindow, create_rate_limits
from undercroft.testing import VirtualClock

pytestmark = pytest.mark.anyio


# The same application for each framework: three routes with limits, one that is exempt


@rate_limit("2/m", name="async")
async def starlette_async(_: Request) -> Response:
    return JSONResponse({"ok": True})


@rate_limit("2/m", name="thread")
def starlette_thread(_: Request) -> Response:
    return JSONResponse({"ok": True})


@bypass_rate_limit
async def starlette_exempt(_: Request) -> Response:
    return JSONResponse({"ok": True})


async def starlette_plain(_: Request) -> Response:
    return JSONResponse({"ok": True})


@rate_limit("1/m", name="ws")
async def websocket(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close()


STARLETTE_ROUTES = [
    Route("/async/{number}", starlette_async),
    Route("/thread/{number}", starlette_thread),
    Route("/plain", starlette_plain),
    Route("/exempt", starlette_exempt),
    WebSocketRoute("/ws", websocket),
    Mount("/mounted", routes=[Route("/exempt", starlette_exempt), Route("/{what}", starlette_plain)]),
]


def starlette_app() -> Starlette:
    return Starlette(routes=STARLETTE_ROUTES)


class PassOn(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


def starlette_behind_other_middleware() -> Starlette:
    app = starlette_app()
    app.add_middleware(PassOn)
    return app


def fastapi_app() -> FastAPI:
    app = FastAPI()

    @app.get("/async/{number}")
    @rate_limit("2/m", name="async")
    async def limited(number: int) -> dict[str, int]:
        return {"number": number}

    @app.get("/thread/{number}")
    @rate_limit("2/m", name="thread")
    def limited_in_thread(number: int) -> dict[str, int]:
        return {"number": number}

    @app.get("/depends/{number}")
    async def depends(number: int, _: Annotated[None, Depends(rate_limited("2/m", name="depends"))]) -> dict[str, int]:
        return {"number": number}

    @app.get("/plain")
    async def plain() -> dict[str, str]:
        return {}

    @app.get("/exempt")
    @bypass_rate_limit
    async def exempt() -> dict[str, str]:
        return {}

    mounted = APIRouter(prefix="/mounted")

    @mounted.get("/exempt")
    @bypass_rate_limit
    def exempt_below() -> dict[str, str]:
        return {}

    @mounted.get("/{what}")
    async def below(what: str) -> dict[str, str]:
        return {}

    app.include_router(mounted)
    app.add_api_websocket_route("/ws", websocket)
    return app


LitestarRequest = litestar.Request[Any, Any, Any]


@litestar.get("/async/{number:int}")
@rate_limit("2/m", name="async")
async def litestar_async(request: LitestarRequest) -> dict[str, int]:
    return {"number": request.path_params["number"]}


@litestar.get("/thread/{number:int}", sync_to_thread=True)
@rate_limit("2/m", name="thread")
def litestar_thread(request: LitestarRequest) -> dict[str, int]:
    return {"number": request.path_params["number"]}


@litestar.get("/in-the-loop", sync_to_thread=False)
@rate_limit("2/m", name="loop")
def litestar_in_the_loop() -> dict[str, int]:
    return {}


@litestar.get("/plain")
async def litestar_plain() -> dict[str, int]:
    return {}


@litestar.get("/exempt")
@bypass_rate_limit
async def litestar_exempt() -> dict[str, int]:
    return {}


LITESTAR_ROUTES = [litestar_async, litestar_thread, litestar_in_the_loop, litestar_plain, litestar_exempt]


def litestar_app() -> Litestar:
    return Litestar(LITESTAR_ROUTES, logging_config=None)


def litestar_with_plugin() -> Litestar:
    return Litestar(LITESTAR_ROUTES, plugins=[UndercroftPlugin()])


APPS: dict[str, Callable[[], Any]] = {
    "starlette": starlette_app,
    "starlette behind BaseHTTPMiddleware": starlette_behind_other_middleware,
    "fastapi": fastapi_app,
    "litestar": litestar_app,
}
ASKS_ROUTES = ["starlette", "starlette behind BaseHTTPMiddleware", "fastapi"]


def assert_refused(answer: Answer, policy: str) -> None:
    assert answer.status == 429
    assert answer.header("content-type") == "application/problem+json"
    assert answer.json["type"].endswith("#quota-exceeded")
    assert answer.json["violated-policies"] == [policy]
    assert 0 < int(answer.header("retry-after")) <= 60
    assert answer.header("ratelimit-policy") == f'"{policy}";q=2;w=60'
    assert answer.header("x-ratelimit-remaining") == "0"


@pytest.mark.parametrize("name", APPS)
@pytest.mark.parametrize("route", ["async", "thread"])
async def test_a_route_is_limited_within_the_guard(limits: RateLimits, name: str, route: str) -> None:
    guard = RateLimitGuard(APPS[name](), limits)
    answers = [await ask(guard, f"/{route}/{number}") for number in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert [answer.header("x-ratelimit-remaining") for answer in answers] == ["1", "0", "0"]
    assert_refused(answers[2], route)
    assert (await ask(guard, f"/{route}/1", by="198.51.100.1")).status == 200


async def test_a_route_is_limited_beside_litestars_plugin(infra: Infra, limits: RateLimits) -> None:
    app = InfraMiddleware(RateLimitGuard(litestar_with_plugin(), limits), infra)
    answers = [await ask(app, "/async/1") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert_refused(answers[2], "async")


@pytest.mark.parametrize("name", APPS)
async def test_a_route_is_limited_within_the_middleware_alone(infra: Infra, limits: RateLimits, name: str) -> None:
    app = InfraMiddleware(_bound_to(limits, APPS[name]()), infra)
    answers = [await ask(app, f"/async/{number}") for number in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert_refused(answers[2], "async")
    assert len(answers[2].headers("x-request-id")) == 1


@pytest.mark.parametrize("build", [starlette_app, fastapi_app])
async def test_a_route_is_limited_by_a_guard_that_was_added(limits: RateLimits, build: Callable[[], Any]) -> None:
    app = build()
    app.add_middleware(RateLimitGuard, limits=limits)
    answers = [await ask(app, "/async/1") for _ in range(3)]
    assert_refused(answers[2], "async")


async def test_what_a_handler_requires_is_answered_the_same(infra: Infra, limits: RateLimits) -> None:
    """`limits.require` in a handler: nobody has noted it, and Starlette answers first with a bare 500."""
    policy = RatePolicy("mine", SlidingWindow(2, "1m"))

    async def handler(_: Request) -> Response:
        await limits.require(policy, "ann")
        return JSONResponse({})

    app = InfraMiddleware(RateLimitGuard(Starlette(routes=[Route("/", handler)]), limits), infra)
    answers = [await ask(app) for _ in range(3)]
    assert_refused(answers[2], "mine")


async def test_a_dependency_of_fastapi_is_limited(limits: RateLimits) -> None:
    guard = RateLimitGuard(fastapi_app(), limits)
    answers = [await ask(guard, "/depends/1") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert_refused(answers[2], "depends")


async def test_a_handler_of_the_application_may_answer_a_refusal(limits: RateLimits) -> None:
    from undercroft.ratelimit import RateLimitedError

    app = fastapi_app()

    @app.exception_handler(RateLimitedError)
    async def mine(request: Request, error: RateLimitedError) -> Response:
        return JSONResponse({"mine": True}, status_code=429)

    guard = RateLimitGuard(app, limits)
    answers = [await ask(guard, "/async/1") for _ in range(3)]
    assert (answers[2].status, answers[2].json) == (429, {"mine": True})
    assert answers[2].header("retry-after") == "60"
    assert answers[2].header("ratelimit")


@pytest.mark.parametrize("build", [starlette_app, fastapi_app])
async def test_the_handshake_of_a_route_is_refused(limits: RateLimits, build: Callable[[], Any]) -> None:
    guard = RateLimitGuard(build(), limits)
    accepted = await handshake(guard)
    assert accepted[0]["type"] == "websocket.accept"
    start, _ = await handshake(guard, extensions=["websocket.http.response"])
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 429)
    (closed,) = await handshake(guard)
    assert closed["type"] == "websocket.close"


@pytest.mark.parametrize("name", ASKS_ROUTES)
async def test_an_exempt_route_is_not_counted(limits: RateLimits, name: str) -> None:
    guard = RateLimitGuard(APPS[name](), limits, policy="2/m")
    for path in ("/exempt", "/mounted/exempt"):
        assert await statuses(guard, 5, path) == [200] * 5
    assert await statuses(guard, 2, "/mounted/other") == [200, 200]
    assert await statuses(guard, 1, "/plain") == [429]
    assert await statuses(guard, 3, "/exempt") == [200] * 3


@pytest.mark.parametrize("build", [starlette_app, fastapi_app])
async def test_an_exempt_route_is_found_by_a_guard_that_was_added(limits: RateLimits, build: Callable[[], Any]) -> None:
    app = build()
    app.add_middleware(RateLimitGuard, limits=limits, policy="2/m")
    assert await statuses(app, 5, "/exempt") == [200] * 5
    assert await statuses(app, 3, "/plain") == [200, 200, 429]


async def test_a_path_that_only_looks_like_an_exempt_route_is_counted(limits: RateLimits) -> None:
    guard = RateLimitGuard(starlette_app(), limits, policy="2/m")
    assert await statuses(guard, 3, "/exempt/") == [307, 307, 429]
    assert await statuses(guard, 1, "/exempt", method="POST") == [429]


async def test_an_exemption_that_cannot_work_is_an_error(limits: RateLimits) -> None:
    guard = RateLimitGuard(litestar_app(), limits, policy="2/m")
    assert (await ask(guard, "/exempt")).status == 500
    assert (
        await statuses(RateLimitGuard(litestar_app(), limits, policy="2/m", skip="/exempt$"), 5, "/exempt") == [200] * 5
    )


async def test_a_client_that_the_guard_allows_is_not_counted_by_routes(limits: RateLimits) -> None:
    guard = RateLimitGuard(starlette_app(), limits, allow=["192.0.2.1"])
    assert await statuses(guard, 5, "/async/1") == [200] * 5


async def test_a_route_and_a_rule_count_both(limits: RateLimits) -> None:
    guard = RateLimitGuard(starlette_app(), limits, policy="5/m", name="all")
    answer = await ask(guard, "/async/1")
    assert answer.header("ratelimit-policy") == '"all";q=5;w=60, "async";q=2;w=60'
    assert answer.header("x-ratelimit-limit") == "2"  # the one that is nearest to its end


async def test_a_function_keeps_its_signature() -> None:
    async def handler(number: int, *, name: str = "x") -> str:
        """Its docstring."""
        return name * number

    limited = rate_limit("5/m")(handler)
    assert inspect.signature(limited) == inspect.signature(handler)
    assert inspect.iscoroutinefunction(limited)
    assert (limited.__name__, limited.__doc__) == ("handler", "Its docstring.")


async def test_two_functions_of_one_name_count_apart(limits: RateLimits) -> None:
    def make() -> Any:
        @rate_limit("1/m")
        async def handler(_: Request) -> Response:
            return JSONResponse({})

        return handler

    def make_other() -> Any:
        @rate_limit("1/m")
        async def handler(_: Request) -> Response:
            return JSONResponse({})

        return handler

    guard = RateLimitGuard(Starlette(routes=[Route("/a", make()), Route("/b", make_other())]), limits)
    assert await statuses(guard, 2, "/a") == [200, 429]
    assert await statuses(guard, 1, "/b") == [200]


async def test_a_user_that_is_found_after_routing_is_counted(limits: RateLimits) -> None:
    @rate_limit("1/m", name="x", key=by_user(lambda scope: scope["state"]["user_id"]))
    async def handler(_: Request) -> Response:
        return JSONResponse({})

    class SignIn:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            scope["state"] = {"user_id": dict(scope["headers"]).get(b"x-user", b"").decode()}
            await self.app(scope, receive, send)

    guard = RateLimitGuard(SignIn(Starlette(routes=[Route("/", handler)])), limits)
    assert await statuses(guard, 2, headers=[("x-user", "ann")]) == [200, 429]
    assert await statuses(guard, 1, headers=[("x-user", "bob")]) == [200]


async def test_a_route_that_fails_closed_is_503_without_its_store(clock: VirtualClock) -> None:
    @rate_limit(RatePolicy("login", SlidingWindow(5, "1m"), fail="closed"))
    async def handler(_: Request) -> Response:
        return JSONResponse({})

    limits = RateLimits(AwayStore(), clock=clock)  # type: ignore[arg-type]  # as much of a store as is asked
    answer = await ask(RateLimitGuard(Starlette(routes=[Route("/", handler)]), limits))
    assert (answer.status, answer.json["code"]) == (503, "UC5110")
    assert int(answer.header("retry-after")) >= 1


async def test_outside_of_a_request_it_says_what_is_missing() -> None:
    @rate_limit("1/m")
    async def handler() -> None: ...

    with pytest.raises(NotInRequestError, match="RateLimitGuard"):
        await handler()


async def test_an_exempt_function_can_be_called_anywhere() -> None:
    assert (await starlette_exempt(Request({"type": "http"}))).status_code == 200


async def test_a_function_that_blocks_the_loop_cannot_be_limited(limits: RateLimits) -> None:
    assert (await ask(RateLimitGuard(litestar_app(), limits), "/in-the-loop")).status == 500


async def test_a_rate_for_a_dependency_needs_a_name() -> None:
    with pytest.raises(GuardConfigError, match="name="):
        rate_limited("5/m")


@pytest.mark.parametrize("name", APPS)
async def test_a_real_server_answers_the_same(name: str) -> None:
    limits = create_rate_limits("memory://")
    with served(RateLimitGuard(APPS[name](), limits), proxy_headers=False) as server, client_of(server) as client:
        answers = [client.get("/thread/1") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json()["violated-policies"] == ["thread"]
    assert int(answers[2].headers["retry-after"]) in range(1, 61)


def _bound_to(limits: RateLimits, app: Any) -> ASGIApp:
    class Source:
        def get_part(self, name: str) -> object:
            return limits

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        with bind(Source()):
            await app(scope, receive, send)

    return serve
