"""Which errors of requests are grouped and counted: those that are ours to mend."""

from __future__ import annotations

from undercroft.asgi._access import noted_error
from undercroft.asgi._route import UNMATCHED, method_of, route_of
from undercroft.asgi._types import Scope
from undercroft.monitoring import ErrorTracker


def capture(
    errors: ErrorTracker, scope: Scope, *, status: int | None, error: BaseException | None, mounted_at: str
) -> None:
    """Have `errors` take what made a request fail, if it failed on our side; a refusal is no failure."""
    exc = error or noted_error(scope, status)
    if not isinstance(exc, Exception) or (status is not None and status < 500):
        return
    route = route_of(scope, mounted_at=mounted_at) or UNMATCHED
    errors.capture_exception(exc, context={"method": method_of(scope), "route": route})
