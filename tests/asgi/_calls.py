"""Raw ASGI: scopes written by hand, and applications called without a server."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio

from undercroft.asgi import ASGIApp, Message, Receive, Scope, Send
from undercroft.logging import setup_logging

Lines = list[dict[str, Any]]


def http_scope(path: str = "/", method: str = "GET", headers: Iterable[tuple[str, str]] = (), **more: Any) -> Scope:
    """Return the scope of a request, as a server makes it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"token=in-the-query",
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        **more,
    }


@dataclass(slots=True)
class Answer:
    """What a server was given to send."""

    messages: list[Message] = field(default_factory=list)

    @property
    def start(self) -> Message:
        (start,) = [message for message in self.messages if message["type"] == "http.response.start"]
        return start

    @property
    def status(self) -> int:
        return int(self.start["status"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str:
        (value,) = [value for key, value in self.start["headers"] if key.lower() == name.encode()]
        return bytes(value).decode()

    def headers(self, name: str) -> list[str]:
        return [bytes(value).decode() for key, value in self.start["headers"] if key.lower() == name.encode()]


async def call(app: ASGIApp, scope: Scope | None = None, *, answer: Answer | None = None) -> Answer:
    """Send one request without a body through `app`. What it raises comes out, and `answer` keeps what was sent."""
    result = answer or Answer()
    unread = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if unread:
            return unread.pop()
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Message) -> None:
        result.messages.append(message)

    await app(scope or http_scope(), receive, send)
    return result


def answering(status: int = 200, body: bytes = b"", headers: Iterable[tuple[bytes, bytes]] = ()) -> ASGIApp:
    """Return an application that answers everything in the same way."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": body})

    return app


def raising(error: BaseException) -> ASGIApp:
    """Return an application that raises before it answers."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    return app


class LogLines(io.StringIO):
    """JSON lines as they are written, from any thread."""

    def __init__(self) -> None:
        super().__init__()
        self._written = threading.Condition()

    def write(self, text: str, /) -> int:
        with self._written:
            count = super().write(text)
            self._written.notify_all()
            return count

    @property
    def all(self) -> Lines:
        with self._written:
            return [json.loads(line) for line in self.getvalue().splitlines()]

    @property
    def access(self) -> Lines:
        """The access lines."""
        return [line for line in self.all if line["logger"] == "undercroft.access"]

    def of(self, request_id: str) -> Lines:
        """Return the access lines of one request."""
        return [line for line in self.access if line["request_id"] == request_id]

    def wait_for(self, find: Callable[[], Lines], count: int = 1, timeout: float = 5.0) -> Lines:
        """Return what `find` finds once there is that much; the access line of a request follows its response."""
        deadline = time.monotonic() + timeout
        with self._written:
            while len(found := find()) < count:
                left = deadline - time.monotonic()
                assert left > 0, f"{len(found)} of {count} lines after {timeout} s; all there are: {self.getvalue()}"
                self._written.wait(left)
        return found


@contextmanager
def captured_lines() -> Iterator[LogLines]:
    """Write every log line of the process as JSON to where a test can read it."""
    lines = LogLines()
    with setup_logging(format="json", level="debug", stream=lines):
        yield lines
