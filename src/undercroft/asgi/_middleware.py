"""The middleware itself: which scope goes where."""

from __future__ import annotations

from undercroft._core.ids import IdSource
from undercroft.app import Infra
from undercroft.asgi._health import health_app, health_path
from undercroft.asgi._lifespan import serve_lifespan
from undercroft.asgi._request import RequestNames, serve
from undercroft.asgi._types import AnyASGIApp, ASGIApp, Receive, Scope, Send
from undercroft.asgi._worker_process import refuse


class InfraMiddleware:
    """Put an application on an `Infra`: `app = InfraMiddleware(app, infra)`.

    Pure ASGI: it wraps any application, and fits `app.add_middleware(InfraMiddleware, infra=infra)` of Starlette and
    FastAPI. It opens the `Infra` when the server starts and closes it when the server stops (unless it is open already:
    whoever opened it closes it), binds it for every request and websocket, gives each request an id and a trace (the
    client's, where they are valid) and answers with `x-request-id`, writes one access line for each, turns our errors
    into problem documents, and answers the health paths. In a process of the kind `worker` (`UNDERCROFT_PROCESS`) it
    answers only these, and the application is not asked.

    Args:
        app: The application.
        infra: What to open and bind.
        health: Answer `/livez`, `/readyz` and `/health`; their access lines are written at debug level.

    Lives as long as the application.
    """

    def __init__(self, app: AnyASGIApp, infra: Infra, *, health: bool = True) -> None:
        self.app: ASGIApp = app
        self._app: ASGIApp = refuse if infra.settings.process.value == "worker" else app
        self.infra = infra
        self._answers_health = health
        self._new_id = IdSource(infra.clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] == "lifespan":
            await self._serve_lifespan(scope, receive, send)
        elif scope["type"] in ("http", "websocket"):
            await self._serve_request(scope, receive, send)
        else:  # a later protocol: nothing to add to it
            with self.infra.bind():
                await self.app(scope, receive, send)

    async def _serve_lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.infra.is_open:
            await serve_lifespan(self.app, self.infra, scope, receive, send)
            return
        with self.infra.bind():
            await self.app(scope, receive, send)

    async def _serve_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = health_path(scope) if self._answers_health else None
        app = self._app if path is None else health_app(path, self.infra)
        names = RequestNames.of(scope, self._new_id)
        await serve(app, self.infra, names, scope, receive, send, is_quiet=path is not None)
