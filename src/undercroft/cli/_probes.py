"""`/livez` and `/readyz` of a worker, on a port of its own.

Answered by the worker's own event loop, so that a blocked one does not answer; nothing else is served. `/livez` asks
no dependency. `/readyz` is 503 while it starts or stops, when a critical check is unhealthy, or when the worker finds
that it claims nothing while work waits.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

from undercroft._core.codec import to_json

if TYPE_CHECKING:
    from undercroft.app import Infra

_REQUEST_S = 5.0
_LARGEST_LINE = 4096


@asynccontextmanager
async def probed(
    infra: Infra, listener: socket.socket | None, *, is_stopping: Callable[[], bool]
) -> AsyncIterator[None]:
    """Answer probes on `listener` for the block, and close it; none are answered without one."""
    if listener is None:
        yield
        return

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_REQUEST_S):
                line = (await reader.readuntil(b"\n")).decode("latin-1").split()
                while (await reader.readuntil(b"\n")).strip():
                    pass  # the headers: a client that is answered before it has sent them sees a reset
                status, document = await _answer(infra, line, is_stopping=is_stopping())
                writer.write(_response(status, to_json(document)))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, sock=listener, limit=_LARGEST_LINE)
    try:
        yield
    finally:
        server.close()


async def _answer(infra: Infra, line: list[str], *, is_stopping: bool) -> tuple[HTTPStatus, dict[str, object]]:
    if len(line) != 3 or line[0] not in ("GET", "HEAD"):
        return HTTPStatus.BAD_REQUEST, {"message": "GET /livez or /readyz"}
    path = line[1].partition("?")[0]
    if path == "/livez":
        return HTTPStatus.OK, {"status": "healthy"}
    if path != "/readyz":
        return HTTPStatus.NOT_FOUND, {"message": "GET /livez or /readyz"}
    if is_stopping or not infra.is_open:
        return HTTPStatus.SERVICE_UNAVAILABLE, {"status": "unhealthy", "message": "starting or stopping"}
    report = await infra.health.run()
    document = report.to_dict(details=not infra.settings.is_production)
    return HTTPStatus.OK if report.is_ready else HTTPStatus.SERVICE_UNAVAILABLE, document


def _response(status: HTTPStatus, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\ncache-control: no-store\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
