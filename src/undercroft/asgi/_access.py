"""The access line: one for each request and websocket, when it is over."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from undercroft._core.errors import UndercroftError
from undercroft.asgi._types import Scope
from undercroft.logging import Logger

_NOTED = "undercroft.errors"
_log = Logger(module="undercroft.access")


def note_error(scope: MutableMapping[str, Any], error: Exception) -> None:
    """Remember which error the answer to this request will stand for, where a framework answers errors itself.

    The access line tells it when the answer is a 500 or more, and for a websocket. Does nothing outside of
    `InfraMiddleware`.
    """
    scope.get(_NOTED, []).append(error)


def write_access_line(
    scope: Scope, *, status: int | None, seconds: float, error: BaseException | None, is_quiet: bool
) -> None:
    """Write it, with method, path, status, duration in milliseconds, and the error if there was one.

    Error level for what failed on our side, warning for what was cut off or never answered, else info; debug for a
    quiet one that went well. The query string is not written: it holds tokens and addresses.
    """
    # The server logs what reaches it, with its stack. What was answered on the way is told here alone.
    is_told_here = error is None or (isinstance(error, UndercroftError) and status == error.http_status)
    error = error or noted_error(scope, status)
    fields = _fields(scope, status, seconds, error)
    if is_quiet and error is None:
        _log.debug("request", fields)
    elif _is_failure(status, error):
        _log.error("request", error if is_told_here else {"error_text": str(error)}, **fields)
    elif status is None or not isinstance(error, Exception | None):
        _log.warning("request", fields)
    else:
        _log.info("request", fields)


def start_noting(scope: Scope) -> None:
    """Have `note_error` work for this request."""
    scope[_NOTED] = []


def noted_error(scope: Scope, status: int | None) -> Exception | None:
    """Return what `note_error` was told, if the answer stands for it."""
    noted: list[Exception] = scope.get(_NOTED, [])
    is_wanted = scope["type"] == "websocket" or (status is not None and status >= 500)
    return noted[-1] if noted and is_wanted else None


def _fields(scope: Scope, status: int | None, seconds: float, error: BaseException | None) -> dict[str, object]:
    fields: dict[str, object] = {
        "method": scope.get("method", "WEBSOCKET"),
        "path": scope["path"],
        "status": status,
        "duration_ms": round(seconds * 1000, 1),
    }
    if error is not None:
        fields["error_type"] = type(error).__name__
    if isinstance(error, UndercroftError):
        fields["code"] = error.code
    return fields


def _is_failure(status: int | None, error: BaseException | None) -> bool:
    if isinstance(error, UndercroftError) and status == error.http_status:
        return error.http_status >= 500
    return isinstance(error, Exception) or (status is not None and status >= 500)
