"""A small HTTP server on a real socket that records requests, and answers like Resend, or as it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


STALL, CUT = b"stall", b"cut"
Answer = Callable[[Request], bytes]


def answer(status: int, body: object, *headers: str, content_type: str = "application/json") -> bytes:
    """Return a whole HTTP answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {content_type}", f"Content-Length: {len(data)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + data


@dataclass
class Recorder:
    """`requests` has everything that came, `accepted` the messages that count."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    accepted: list[Request] = field(default_factory=list)
    respond: Answer | None = None
    stop: Callable[[], None] = lambda: None
    _keys: dict[str, tuple[Any, str]] = field(default_factory=dict)

    def answer(self, request: Request) -> bytes:
        self.requests.append(request)
        if self.respond is not None:
            return self.respond(request)
        if request.path == "/domains":
            return answer(200, {"data": []})
        return self._accept(request)

    def _accept(self, request: Request) -> bytes:
        key = request.headers.get("idempotency-key", "")
        body, id_ = self._keys.get(key, (request.json, ""))
        if body != request.json:
            return answer(409, {"statusCode": 409, "name": "invalid_idempotent_request", "message": "differs"})
        if not id_:
            self.accepted.append(request)
            id_ = f"re_{len(self.accepted)}"
            if key:
                self._keys[key] = (request.json, id_)
        return answer(200, {"id": id_})


@asynccontextmanager
async def recorder() -> AsyncIterator[Recorder]:
    recording = Recorder()
    is_over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read(reader)) is not None:
                reply = recording.answer(request)
                if reply == STALL:
                    await is_over.wait()
                if reply in (STALL, CUT):
                    return
                writer.write(reply)
                await writer.drain()
                if b"Connection: close" in reply:
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    recording.port = server.sockets[0].getsockname()[1]
    recording.stop = server.close
    try:
        yield recording
    finally:
        is_over.set()
        server.close()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, body)
