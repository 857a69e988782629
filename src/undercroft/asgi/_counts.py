"""What is counted of requests, under the names of OpenTelemetry's stable conventions
(https://opentelemetry.io/docs/specs/semconv/http/http-metrics/), with underscores as Prometheus wants them."""

from __future__ import annotations

from undercroft.asgi._route import UNMATCHED, method_of, route_of
from undercroft.asgi._types import Scope
from undercroft.monitoring import Gauge, Histogram


class RequestCounts:
    """Counts HTTP requests, not websockets, which take as long as they like. The metrics are the process's."""

    def __init__(self) -> None:
        self._seconds = Histogram(
            "http_server_request_duration_seconds",
            help="Seconds from the beginning of an HTTP request to the end of its response.",
            unit="seconds",
            labels=("http_request_method", "http_route", "http_response_status_code"),
        )
        self._active = Gauge(
            "http_server_active_requests", help="HTTP requests that are being served.", labels=("http_request_method",)
        )

    def begin(self, scope: Scope) -> None:
        """Count a request that comes in."""
        if scope["type"] != "http":
            return
        self._active.increment(http_request_method=method_of(scope))

    def end(self, scope: Scope, *, status: int | None, seconds: float, mounted_at: str) -> None:
        """Count a request that is over.

        Its route is the template, `unmatched` when there is none. The status of one that nobody answered is 0.
        """
        if scope["type"] != "http":
            return
        method = method_of(scope)
        self._active.decrement(http_request_method=method)
        self._seconds.observe(
            seconds,
            http_request_method=method,
            http_route=route_of(scope, mounted_at=mounted_at) or UNMATCHED,
            http_response_status_code=str(status or 0),
        )
