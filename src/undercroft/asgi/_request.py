"""What happens around one request: its names, its access line, and its errors."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from undercroft._core.context import Correlation, Trace, correlate, is_request_id
from undercroft._core.errors import UndercroftError
from undercroft.app import Infra
from undercroft.asgi._access import start_noting, write_access_line
from undercroft.asgi._problem import problem_of
from undercroft.asgi._response import Response
from undercroft.asgi._types import ASGIApp, Receive, Scope, Send, respond, sole_header


def names_of(scope: Scope, new_id: Callable[[], str]) -> Correlation:
    """Return what this request is called: the client's `x-request-id` and trace where they are valid, else new ones."""
    asked = sole_header(scope, b"x-request-id")
    request_id = asked if asked is not None and is_request_id(asked) else new_id()
    parent = Trace.parse(sole_header(scope, b"traceparent") or "")
    return Correlation(request_id=request_id, trace=parent.child() if parent else Trace.new())


async def serve(
    app: ASGIApp, infra: Infra, names: Correlation, scope: Scope, receive: Receive, send: Send, *, is_quiet: bool
) -> None:
    """Run `app` for one HTTP request or websocket, under `names` and with `infra` bound."""
    clock = infra.clock
    response = Response(send, names.request_id or "", clock)
    started_at = clock.monotonic()
    start_noting(scope)
    error: BaseException | None = None
    with correlate(names), infra.bind():
        try:
            error = await _run(app, infra, scope, receive, response)
        except BaseException as exc:
            error = exc
            raise
        finally:
            # Without what runs after the response, such as background tasks.
            ended_at = clock.monotonic() if response.ended_at is None else response.ended_at
            seconds = ended_at - started_at
            write_access_line(scope, status=response.status, seconds=seconds, error=error, is_quiet=is_quiet)


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
