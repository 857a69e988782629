"""`/livez`, `/readyz`, `/startupz` and `/health` of a worker, on a port of its own.

Answered by the worker's own event loop, so that a blocked one does not answer; nothing else is served. `/livez` asks
no dependency. `/readyz` is 503 while it starts or stops, when a critical check is unhealthy, or when the worker finds
that it claims nothing while work waits. The rest is as `undercroft.health.answer_probe` says.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

from undercroft._core.codec import to_json
from undercroft.health import PROBE_PATHS, ProbeAnswer, answer_probe

if TYPE_CHECKING:
    from undercroft.app import Infra

_REQUEST_S = 5.0
_LARGEST_LINE = 4096
_USE = f"GET {', '.join(PROBE_PATHS)}"


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
                accept = await _read_headers(reader)
                answer = await _answer(infra, line, accept, is_stopping=is_stopping())
                writer.write(_response(answer, with_body=line[:1] != ["HEAD"]))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, sock=listener, limit=_LARGEST_LINE)
    try:
        yield
    finally:
        server.close()


async def _read_headers(reader: asyncio.StreamReader) -> str:
    """Read to the end of the headers, and return those that say `Accept`, joined.

    All of them, since a client that is answered before it has sent them sees a reset.
    """
    accepted = []
    while line := (await reader.readuntil(b"\n")).strip():
        name, _, value = line.decode("latin-1").partition(":")
        if name.lower() == "accept":
            accepted.append(value)
    return ",".join(accepted)


async def _answer(infra: Infra, line: list[str], accept: str, *, is_stopping: bool) -> ProbeAnswer:
    if len(line) != 3 or line[0] not in ("GET", "HEAD"):
        return ProbeAnswer(status=HTTPStatus.BAD_REQUEST, document={"message": _USE})
    path, _, query = line[1].partition("?")
    if path not in PROBE_PATHS:
        return ProbeAnswer(status=HTTPStatus.NOT_FOUND, document={"message": _USE})
    is_open = infra.is_open and not is_stopping
    details = not infra.settings.is_production
    return await answer_probe(path, infra.health, is_open=is_open, details=details, query=query, accept=accept)


def _response(answer: ProbeAnswer, *, with_body: bool) -> bytes:
    body, status = to_json(answer.document), HTTPStatus(answer.status)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {answer.content_type}\r\n"
        f"cache-control: no-store\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + (body if with_body else b"")
