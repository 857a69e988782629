"""Templates of routes: what a metric and a span are named after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from litestar import Litestar, get
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, Router

from tests.asgi._calls import call, http_scope
from undercroft.asgi import ASGIApp, note_route
from undercroft.asgi._route import method_of, route_of

pytestmark = pytest.mark.anyio


def starlette_app() -> ASGIApp:
    async def answer(request: Any) -> PlainTextResponse:
        return PlainTextResponse("ok")

    orders = Router([Route("/{order:int}/lines", answer), Route("/", answer)])
    return Starlette(
        routes=[
            Route("/", answer),
            Route("/orders/{order:int}", answer),
            Mount("/shops/{shop}/orders", app=orders),
            Mount("/static", app=Starlette(routes=[Route("/{path:path}", answer)])),
        ]
    )


def fastapi_app() -> ASGIApp:
    api, sub, router = FastAPI(), FastAPI(), APIRouter(prefix="/users/{user}")

    @api.get("/orders/{order}")
    async def order(order: int) -> int:
        return order

    @router.get("/mail")
    async def mail(user: str) -> str:
        return user

    @sub.get("/deep/{level}")
    async def deep(level: int) -> int:
        return level

    api.include_router(router)
    api.mount("/sub", sub)
    return api


def litestar_app() -> ASGIApp:
    @get("/orders/{order:int}", sync_to_thread=False)
    def order() -> int:
        return 1

    return Litestar([order], logging_config=None, openapi_config=None)


@pytest.mark.parametrize(
    ("make", "path", "template"),
    [
        (starlette_app, "/", "/"),
        (starlette_app, "/orders/7", "/orders/{order}"),
        (starlette_app, "/shops/9/orders/7/lines", "/shops/{shop}/orders/{order}/lines"),
        (starlette_app, "/static/a/b.css", "/static/{path}"),
        (starlette_app, "/nothing", None),
        (fastapi_app, "/orders/7", "/orders/{order}"),
        (fastapi_app, "/orders/x", "/orders/{order}"),
        (fastapi_app, "/users/ann/mail", "/users/{user}/mail"),
        (fastapi_app, "/sub/deep/3", "/sub/deep/{level}"),
        (fastapi_app, "/nothing", None),
        (litestar_app, "/orders/7", "/orders/{order}"),
        (litestar_app, "/nothing", None),
    ],
)
async def test_template_of_the_route_that_answered(
    make: Callable[[], ASGIApp], path: str, template: str | None
) -> None:
    scope = http_scope(path)
    await call(make(), scope)
    assert route_of(scope, mounted_at="") == template


async def test_application_below_a_mount_of_the_server_keeps_its_own_templates() -> None:
    scope = http_scope("/api/orders/7", root_path="/api")
    await call(starlette_app(), scope)
    assert route_of(scope, mounted_at="/api") == "/orders/{order}"


async def test_noted_route_comes_first() -> None:
    scope = http_scope("/orders/7")
    await call(starlette_app(), scope)
    note_route(scope, "/orders/<int:order>")
    assert route_of(scope, mounted_at="") == "/orders/<int:order>"


@pytest.mark.parametrize(
    ("scope", "method"),
    [
        (http_scope(method="GET"), "GET"),
        (http_scope(method="JEFF"), "_OTHER"),
        (http_scope(method="get"), "_OTHER"),
        ({"type": "websocket", "path": "/"}, "WEBSOCKET"),
    ],
)
def test_method_is_one_of_a_few(scope: dict[str, Any], method: str) -> None:
    assert method_of(scope) == method
