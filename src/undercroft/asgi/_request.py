"""What happens around one request: its names, its access line, and its errors."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from undercroft._core.carrier import checked_baggage, checked_tracestate
from undercroft._core.context import Correlation, Trace, correlate, correlation, is_request_id
from undercroft._core.errors import UndercroftError
from undercroft.app import Infra
from undercroft.asgi._access import start_noting, write_access_line
from undercroft.asgi._counts import RequestCounts
from undercroft.asgi._errors import capture
from undercroft.asgi._problem import problem_of
from undercroft.asgi._response import Response
from undercroft.asgi._span import span_of, tell
from undercroft.asgi._types import ASGIApp, Receive, Scope, Send, headers_of, respond, sole_header
from undercroft.monitoring import NO_SPAN, continue_trace


@dataclass(frozen=True, slots=True)
class RequestNames:
    """What a request is called, and what it is part of."""

    names: Correlation
    parent: Trace | None
    """The client's position in the trace, if it sent one."""

    @classmethod
    def of(cls, scope: Scope, new_id: Callable[[], str]) -> RequestNames:
        """Return those of a request: the client's `x-request-id` (or `x-correlation-id`, as others call it), its trace
        and its baggage where they are valid, else new ones."""
        asked = sole_header(scope, b"x-request-id") or sole_header(scope, b"x-correlation-id")
        request_id = asked if asked is not None and is_request_id(asked) else new_id()
        parent, baggage = _carried(scope)
        return cls(Correlation(request_id=request_id, trace=continue_trace(parent), baggage=baggage), parent)


def _carried(scope: Scope) -> tuple[Trace | None, str]:
    traceparent = sole_header(scope, b"traceparent")
    state = checked_tracestate(headers_of(scope, b"tracestate")) if traceparent else ""
    baggage = headers_of(scope, b"baggage")
    return Trace.parse(traceparent or "", state), checked_baggage(baggage) if baggage else ""


async def serve(
    app: ASGIApp,
    infra: Infra,
    named: RequestNames,
    counts: RequestCounts | None,
    scope: Scope,
    receive: Receive,
    send: Send,
) -> None:
    """Run `app` for one HTTP request or websocket, under its names, with `infra` bound, in a span, and count it.

    One without `counts` is quiet, and has no span either: probes and scrapes would be most of what is kept.
    """
    names = named.names
    clock = infra.clock
    response = Response(send, names.request_id or "", clock)
    started_at = clock.monotonic()
    start_noting(scope)
    error: BaseException | None = None
    mounted_at = str(scope.get("root_path", ""))
    made = NO_SPAN if counts is None else span_of(scope, names, named.parent)
    if counts is not None:
        counts.begin(scope)
    with correlate(names), infra.bind(), made as span:
        try:
            error = await _run(app, infra, scope, receive, response)
        except BaseException as exc:
            error = exc
            with suppress(AttributeError):  # a server logs it when the names are no longer set here
                exc.__undercroft_names__ = correlation()  # type: ignore[attr-defined]
            raise
        finally:
            # Without what runs after the response, such as background tasks.
            ended_at = clock.monotonic() if response.ended_at is None else response.ended_at
            seconds = ended_at - started_at
            # Of an application that raised before it answered: servers answer for it.
            status = 500 if response.status is None and isinstance(error, Exception) else response.status
            tell(span, scope, status=status, error=error, mounted_at=mounted_at)
            capture(infra.errors, scope, status=status, error=error, mounted_at=mounted_at)
            if counts is not None:
                counts.end(scope, status=status, seconds=seconds, mounted_at=mounted_at)
            write_access_line(scope, status=status, seconds=seconds, error=error, is_quiet=counts is None)


async def _run(
    app: ASGIApp, infra: Infra, scope: Scope, receive: Receive, response: Response
) -> UndercroftError | None:
    """Run `app`; return the error that was answered with a problem document, if one was."""
    try:
        await app(scope, receive, response.send)
    except UndercroftError as exc:
        if scope["type"] != "http" or not response.is_replaceable:
            raise
        response.forget()
        problem = problem_of(exc, show_details=not infra.settings.is_production)
        await respond(scope, response.send_now, status=problem.status, headers=problem.headers, body=problem.body)
        return exc
    except Exception:
        with suppress(OSError):  # the client is gone; what the application raised matters more
            await response.release()
        raise
    await response.release()
    return None
