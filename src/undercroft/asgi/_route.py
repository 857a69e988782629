"""The template of the route that answered: `/orders/{id}`, never `/orders/7`.

A metric or a span that is named after raw paths has as many names as there are orders.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

from undercroft.asgi._types import Scope

UNMATCHED = "unmatched"
"""Of a request that no route answered, or whose route is not known."""
_NOTED = "undercroft.route"
_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})


def note_route(scope: MutableMapping[str, Any], template: str) -> None:
    """Say which route answers this request, where a framework does not write it into the scope.

    Starlette, FastAPI and Litestar do. For others, from a view: `note_route(scope, "/orders/<int:id>")`.
    """
    scope[_NOTED] = template


def route_of(scope: Scope, *, mounted_at: str) -> str | None:
    """Return the template of the route that answered; `None` when there is none, or the scope does not tell.

    Args:
        mounted_at: The `root_path` of the scope before the application had it.
    """
    noted = scope.get(_NOTED) or scope.get("path_template")  # ours, Litestar's
    if isinstance(noted, str):
        return noted
    template = _template_of(scope.get("route"))
    if template is None:
        return None
    # Starlette's mounts move what they matched from the path to `root_path`, with the values in it.
    mount = str(scope.get("root_path", "")).removeprefix(mounted_at)
    return _with_names(mount, scope.get("path_params")) + template or "/"


def method_of(scope: Scope) -> str:
    """Return the request's method, `WEBSOCKET` for one, and `_OTHER` for one that a client made up."""
    if scope["type"] == "websocket":
        return "WEBSOCKET"
    method = scope.get("method", "")
    return method if method in _METHODS else "_OTHER"


def _template_of(route: object) -> str | None:
    for name in ("path_format", "path"):  # without the convertors, with them
        template = getattr(route, name, None)
        if isinstance(template, str):
            return template
    return None


def _with_names(mount: str, values: object) -> str:
    if not mount or not isinstance(values, Mapping):
        return mount
    names = {str(value): f"{{{name}}}" for name, value in values.items()}
    return "/".join(names.get(part, part) for part in mount.split("/"))
