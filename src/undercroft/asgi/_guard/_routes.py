"""Routes that are exempt: found before the framework has routed, by asking its router.

Starlette's and FastAPI's routes tell whether they are for a scope, so the guard can ask them in their order, as the
router will. Where it cannot, the exempt route itself notices that it was counted, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from undercroft.asgi._types import AnyASGIApp, Scope

EXEMPT = "__undercroft_unlimited__"
_MOST_WRAPPERS = 16
_INCLUDED = "original_router"
"""What a router that FastAPI has included, and did not take apart, is recognised by."""


class ExemptRoutes:
    """Those of one application. The first request looks whether there are any; later ones pay only if there are."""

    def __init__(self, app: AnyASGIApp) -> None:
        self._app = app
        self._has_any: bool | None = None

    def is_exempt(self, scope: Scope) -> bool:
        """Tell whether a request will be served by a route that is exempt."""
        if self._has_any is False:
            return False
        routes = _routes_below(scope.get("app")) or _routes_below(self._app)
        if self._has_any is None:
            self._has_any = any(getattr(endpoint, EXEMPT, False) for endpoint in _endpoints(routes))
        return self._has_any and getattr(_endpoint_of(routes, {**scope}), EXEMPT, False) is True


def _routes_below(app: Any) -> Sequence[Any]:
    """Return the routes of an application that may be wrapped in middleware."""
    for _ in range(_MOST_WRAPPERS):
        routes = getattr(app, "routes", None)
        if isinstance(routes, list | tuple):
            return routes
        app = getattr(app, "app", None)
        if app is None:
            break
    return ()


def _endpoints(routes: Sequence[Any]) -> Iterator[Any]:
    for route in routes:
        if hasattr(route, "endpoint"):
            yield route.endpoint
        yield from _endpoints(_inner(route))


def _inner(route: Any) -> Sequence[Any]:
    routes = getattr(getattr(route, _INCLUDED, route), "routes", None)
    return routes if isinstance(routes, list | tuple) else ()


def _endpoint_of(routes: Sequence[Any], scope: Scope) -> Any:
    """Return the endpoint of the first route that is for a scope, as the router does; `None` when there is none."""
    for route in routes:
        matches = getattr(route, "matches", None)
        if matches is None:
            continue
        match, child = matches(scope)
        if getattr(match, "name", "") != "FULL":
            continue
        if hasattr(route, _INCLUDED):
            return _endpoint_of_included(route, scope)
        inner = _inner(route)
        return _endpoint_of(inner, {**scope, **child}) if inner else child.get("endpoint")
    return None


def _endpoint_of_included(route: Any, scope: Scope) -> Any:
    """Return the endpoint within a router that newer FastAPI keeps as a whole; `None` if it cannot be said.

    Only its private method tells. If that is gone, an exempt route is counted, and says so.
    """
    for _ in range(_MOST_WRAPPERS):
        select = getattr(route, "_match", None)
        found = select(scope) if callable(select) else None
        if not isinstance(found, tuple) or len(found) < 3:
            return None
        child, route = found[1], found[2]
        if "endpoint" in child:
            return child["endpoint"]
    return None
