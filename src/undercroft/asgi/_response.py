"""The response on its way out."""

from __future__ import annotations

from undercroft._core.clock import Clock
from undercroft.asgi._types import Message, Send

_STARTS = ("http.response.start", "websocket.accept", "websocket.http.response.start")


class Response:
    """Adds the request id, and holds a bare 500 back until the application has returned. Lives for one request.

    Frameworks answer an unknown exception with a 500 of their own, all at once, and raise it on; holding that answer
    for a moment lets our errors become problem documents under any framework. A 500 that the application streams is
    not held.
    """

    def __init__(self, send: Send, request_id: str, clock: Clock) -> None:
        self._send = send
        self._header = (b"x-request-id", request_id.encode("ascii"))
        self._clock = clock
        self._held: list[Message] = []
        self._has_gone = False
        self.status: int | None = None
        """What the client got; `None` before that. 101 for a websocket that was accepted."""
        self.ended_at: float | None = None
        """When its last byte was handed to the server, by the monotonic clock."""

    @property
    def is_replaceable(self) -> bool:
        """Whether nothing has gone to the client yet."""
        return not self._has_gone

    async def send(self, message: Message) -> None:
        """Take a message from the application."""
        is_500 = message["type"] == "http.response.start" and message["status"] == 500
        if not self._held and not (is_500 and not self._has_gone):
            await self.send_now(message)
            return
        self._held.append(message)
        is_all = message["type"] == "http.response.body" and not message.get("more_body", False)
        if len(self._held) > 1 and not is_all:
            await self.release()

    async def send_now(self, message: Message) -> None:
        """Pass a message on to the server."""
        kind = message["type"]
        if kind in _STARTS:
            self.status = message.get("status", 101)
            others = [item for item in message.get("headers", ()) if item[0].lower() != b"x-request-id"]
            message = {**message, "headers": [*others, self._header]}
        elif kind == "websocket.close" and self.status is None:
            self.status = 403  # what a server answers when the application does not accept
        self._has_gone = True
        await self._send(message)
        if kind == "http.response.pathsend" or (kind == "http.response.body" and not message.get("more_body", False)):
            self.ended_at = self._clock.monotonic()

    async def release(self) -> None:
        """Send what was held back."""
        held, self._held = self._held, []
        for message in held:
            await self.send_now(message)

    def forget(self) -> None:
        """Drop what was held back."""
        self._held = []
