"""The middleware itself: which scope goes where."""

from __future__ import annotations

from undercroft._core.ids import IdSource
from undercroft.app import Infra
from undercroft.asgi._counts import RequestCounts
from undercroft.asgi._guard._plain import under_limits
from undercroft.asgi._health import health_app
from undercroft.asgi._lifespan import serve_lifespan
from undercroft.asgi._metrics import metrics_app
from undercroft.asgi._request import RequestNames, serve
from undercroft.asgi._types import AnyASGIApp, ASGIApp, Receive, Scope, Send, path_below_mount
from undercroft.asgi._worker_process import refuse
from undercroft.health import PROBE_PATHS
from undercroft.monitoring import METRICS_PATH


class InfraMiddleware:
    """Put an application on an `Infra`: `app = InfraMiddleware(app, infra)`.

    Pure ASGI: it wraps any application, and fits `app.add_middleware(InfraMiddleware, infra=infra)` of Starlette and
    FastAPI. It opens the `Infra` when the server starts and closes it when the server stops (unless it is open already:
    whoever opened it closes it), binds it for every request and websocket, gives each request an id and a trace (the
    client's, where they are valid) and answers with `x-request-id`, writes one access line for each, turns our errors
    into problem documents, makes each a span and counts it, and answers the health paths and `/metrics`. In a process
    of the kind `worker` (`UNDERCROFT_PROCESS`) it answers only these, and the application is not asked.

    Args:
        app: The application.
        infra: What to open and bind.
        health: Answer `/livez`, `/readyz`, `/startupz` and `/health`; their access lines are written at debug level.
        metrics: Answer `/metrics`; likewise.

    Lives as long as the application.
    """

    def __init__(self, app: AnyASGIApp, infra: Infra, *, health: bool = True, metrics: bool = True) -> None:
        self.app: ASGIApp = app
        self._app: ASGIApp = refuse if infra.settings.process.value == "worker" else under_limits(app, infra.clock)
        self.infra = infra
        self._answers_health = health
        self._answers_metrics = metrics
        self._counts = RequestCounts()
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
        names = RequestNames.of(scope, self._new_id)
        own = self._own_app(scope)
        if own is None:
            await serve(self._app, self.infra, names, self._counts, scope, receive, send)
        else:
            await serve(own, self.infra, names, None, scope, receive, send)

    def _own_app(self, scope: Scope) -> ASGIApp | None:
        """Return what answers in the application's place, if this is a probe or a scrape."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            return None
        path = path_below_mount(scope)
        if self._answers_health and path in PROBE_PATHS:
            return health_app(path, self.infra)
        return metrics_app(self.infra) if self._answers_metrics and path == METRICS_PATH else None
