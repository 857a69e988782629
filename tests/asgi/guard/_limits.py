"""Requests of clients, and stores for tests of the guards: one that is away, one that counts its calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

from tests.asgi._calls import Answer, call, http_scope
from undercroft._core.url import Url
from undercroft.asgi import ASGIApp, Message, Receive, Scope, Send
from undercroft.ratelimit import LimitedKey, RateLimitUnavailableError, open_limits
from undercroft.testing import VirtualClock


def from_client(address: str | None, path: str = "/", method: str = "GET", headers: Iterable[tuple[str, str]] = (), **more: Any) -> Scope:  # fmt: skip  # noqa: E501
    """Return the scope of a request whose connection comes from `address`."""
    return http_scope(path, method, headers, client=None if address is None else (address, 50_000), **more)


async def ask(app: ASGIApp, path: str = "/", *, by: str | None = "192.0.2.1", method: str = "GET", headers: Iterable[tuple[str, str]] = ()) -> Answer:  # fmt: skip  # noqa: E501
    """Send one request from a client."""
    return await call(app, from_client(by, path, method, headers))


async def statuses(app: ASGIApp, count: int, path: str = "/", **options: Any) -> list[int]:
    """Send several, one after the other, and return their statuses."""
    return [(await ask(app, path, **options)).status for _ in range(count)]


async def handshake(app: ASGIApp, path: str = "/ws", *, by: str = "192.0.2.1", extensions: Iterable[str] = ()) -> list[Message]:  # fmt: skip  # noqa: E501
    """Open a websocket, and return what was said."""
    said: list[Message] = []
    scope = {
        "type": "websocket",
        "path": path,
        "query_string": b"",
        "headers": [],
        "client": (by, 1),
        "extensions": {name: {} for name in extensions},
    }

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        said.append(message)

    await app(scope, receive, send)
    return said


async def ok(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that answers everything with 200."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept", "headers": []})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


class AwayStore:
    """A store that never answers."""

    name = "away"
    is_local = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None: ...

    async def ping(self) -> None:
        raise RateLimitUnavailableError("away")

    async def check(self, *args: Any) -> Any:
        raise RateLimitUnavailableError("away")

    async def note(self, *args: Any, **more: Any) -> None:
        raise RateLimitUnavailableError("away")

    peek = refund = release = extend = reset = check

    async def limited(self, policies: Sequence[str], limit: int) -> list[LimitedKey]:
        raise RateLimitUnavailableError("away")


class CountingStore:
    """A store that is asked like one elsewhere, and counts how often."""

    name = "counting"
    is_local = False

    def __init__(self, clock: VirtualClock) -> None:
        self._inner = open_limits(Url.parse("memory://"), what="test", clock=clock)
        self.calls: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None: ...

    def __getattr__(self, name: str) -> Any:
        async def counted(*args: Any, **more: Any) -> Any:
            self.calls.append(name)
            return await getattr(self._inner, name)(*args, **more)

        return counted
