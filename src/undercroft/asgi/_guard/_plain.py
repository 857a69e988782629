"""Limits of single routes where no guard stands before the application."""

from __future__ import annotations

from undercroft._core.clock import Clock
from undercroft.asgi._guard._answers import serve_limited
from undercroft.asgi._guard._here import plain_limits
from undercroft.asgi._types import AnyASGIApp, ASGIApp, Receive, Scope, Send


def under_limits(app: AnyASGIApp, clock: Clock) -> ASGIApp:
    """Return `app`, in which `@rate_limit` counts by the address, and whose answers carry the fields of its limits."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await serve_limited(app, plain_limits(scope, clock), receive, send)

    return serve
