"""`/livez`, `/readyz`, `/startupz`, `/health` and `/metrics` of a worker, on a port of its own.

Answered by the worker's own event loop, so that a blocked one does not answer; nothing else is served. `/livez` asks
no dependency. `/readyz` is 503 while it starts or stops, when a critical check is unhealthy, or when the worker finds
that it claims nothing while work waits. The rest is as `undercroft.health.answer_probe` and
`undercroft.monitoring.answer_scrape` say.
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
from undercroft.monitoring import METRICS_PATH, ScrapeAnswer, answer_scrape

if TYPE_CHECKING:
    from undercroft.app import Infra

_REQUEST_S = 5.0
_LARGEST_LINE = 4096
_USE = f"GET {', '.join((*PROBE_PATHS, METRICS_PATH))}"


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
                headers = await _read_headers(reader)
                answer = await _answer(infra, line, headers, is_stopping=is_stopping())
                writer.write(_response(answer, with_body=line[:1] != ["HEAD"]))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, sock=listener, limit=_LARGEST_LINE)
    try:
        yield
    finally:
        server.close()


async def _read_headers(reader: asyncio.StreamReader) -> dict[str, str]:
    """Read to the end of the headers, and return them by their names in lower case, joined where they are repeated.

    All of them, since a client that is answered before it has sent them sees a reset.
    """
    headers: dict[str, str] = {}
    while line := (await reader.readuntil(b"\n")).strip():
        name, _, value = line.decode("latin-1").partition(":")
        name = name.strip().lower()
        headers[name] = f"{headers[name]},{value.strip()}" if name in headers else value.strip()
    return headers


async def _answer(
    infra: Infra, line: list[str], headers: dict[str, str], *, is_stopping: bool
) -> ProbeAnswer | ScrapeAnswer:
    if len(line) != 3 or line[0] not in ("GET", "HEAD"):
        return ProbeAnswer(status=HTTPStatus.BAD_REQUEST, document={"message": _USE})
    path, _, query = line[1].partition("?")
    accept = headers.get("accept", "")
    if path == METRICS_PATH:
        token = infra.settings.metrics_token.value
        authorization = headers.get("authorization", "")
        return await answer_scrape(
            accept=accept, authorization=authorization, token=None if token is None else token.reveal()
        )
    if path not in PROBE_PATHS:
        return ProbeAnswer(status=HTTPStatus.NOT_FOUND, document={"message": _USE})
    is_open = infra.is_open and not is_stopping
    details = not infra.settings.is_production
    return await answer_probe(path, infra.health, is_open=is_open, details=details, query=query, accept=accept)


def _response(answer: ProbeAnswer | ScrapeAnswer, *, with_body: bool) -> bytes:
    if isinstance(answer, ProbeAnswer):
        body, more = to_json(answer.document), {"cache-control": "no-store"}
    else:
        body, more = answer.body, dict(answer.headers)
    status = HTTPStatus(answer.status)
    headers = {"content-type": answer.content_type, **more, "content-length": str(len(body)), "connection": "close"}
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "\r\n"]).encode() + (body if with_body else b"")
