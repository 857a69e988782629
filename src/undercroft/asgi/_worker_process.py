"""What a process that only works in the background answers to everything but the health paths."""

from __future__ import annotations

from undercroft._core.errors import Kind, UndercroftError
from undercroft.asgi._types import Receive, Scope, Send


class WorkerProcessError(UndercroftError):
    """A request came to a process that runs jobs and subscriptions and serves no requests."""

    code = "UC3001"
    kind = Kind.UNAVAILABLE
    http_status = 503


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a request or a websocket."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1013, "reason": "this process serves no requests"})
        return
    raise WorkerProcessError(
        "this process runs jobs and subscriptions and serves no requests",
        hint="send requests to a process with UNDERCROFT_PROCESS=api or all",
    )
