"""ASGI's types (https://asgi.readthedocs.io/en/latest/specs/main.html), without a dependency for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
AnyASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
"""An application of a framework, each of which has types of its own for the protocol."""
Headers = list[tuple[bytes, bytes]]


def sole_header(scope: Scope, name: bytes) -> str | None:
    """Return the value of a request header, given in lower case; `None` when it is absent or there are several.

    Of several nobody can tell which is meant; W3C's tests of `traceparent` want none of them taken.
    """
    values = headers_of(scope, name)
    return values[0] if len(values) == 1 else None


def path_below_mount(scope: Scope) -> str:
    """Return the path as the application sees it: a server puts a mount before it, others leave it out."""
    path, mount = scope["path"], scope.get("root_path", "").rstrip("/")
    return str(path.removeprefix(mount) if mount and path.startswith(f"{mount}/") else path)


def headers_of(scope: Scope, name: bytes) -> list[str]:
    """Return every value of a request header, given in lower case, in order."""
    return [bytes(value).decode("latin-1") for key, value in scope.get("headers", ()) if key.lower() == name]


async def respond(scope: Scope, send: Send, *, status: int, headers: Headers, body: bytes) -> None:
    """Send a whole response; a HEAD request gets its headers only."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": b"" if scope.get("method") == "HEAD" else body})
