"""A request's span: https://opentelemetry.io/docs/specs/semconv/http/http-spans/, HTTP server."""

from __future__ import annotations

from undercroft._core.context import Correlation, Trace
from undercroft.asgi._route import method_of, route_of
from undercroft.asgi._types import Scope
from undercroft.monitoring import NO_SPAN, NoSpan, Span, is_recording, library_span, semconv


def span_of(scope: Scope, names: Correlation, parent: Trace | None) -> Span | NoSpan:
    """Return the span of a request, to be entered; it changes nothing where nobody takes spans.

    Neither the query string nor the client's address is told: they hold tokens, and are personal.
    """
    if not is_recording():
        return NO_SPAN
    method = method_of(scope)
    attributes: dict[str, object] = {
        semconv.HTTP_REQUEST_METHOD: method,
        semconv.URL_PATH: scope["path"],
        semconv.URL_SCHEME: scope.get("scheme", "http"),
        semconv.NETWORK_PROTOCOL_VERSION: scope.get("http_version"),
    }
    if method == "_OTHER":
        attributes[semconv.HTTP_REQUEST_METHOD_ORIGINAL] = scope.get("method")
    server = scope.get("server")
    if server:
        attributes[semconv.SERVER_ADDRESS], attributes[semconv.SERVER_PORT] = server[0], server[1]
    return library_span(method, kind="server", attributes=attributes, at=names.trace, parent=parent)


def tell(span: Span | None, scope: Scope, *, status: int | None, error: BaseException | None, mounted_at: str) -> None:
    """Tell a request's span how it ended; only a failure on our side is an error of a server's span."""
    if span is None:
        return
    route = route_of(scope, mounted_at=mounted_at)
    if route is not None:
        span.update_name(f"{method_of(scope)} {route}")
        span.set_attribute(semconv.HTTP_ROUTE, route)
    if status is not None:
        span.set_attribute(semconv.HTTP_RESPONSE_STATUS_CODE, status)
        if status >= 500:
            kind = str(status) if error is None else type(error).__qualname__
            span.set_status("error").set_attribute(semconv.ERROR_TYPE, kind)
