"""A small OTLP/HTTP receiver on a real socket: decodes what comes with opentelemetry-proto, answers as it is told."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

STALL = b"stall"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def plain(self) -> bytes:
        return gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body

    @property
    def message(self) -> ExportTraceServiceRequest:
        assert self.headers["content-type"] == "application/x-protobuf"
        return ExportTraceServiceRequest.FromString(self.plain)

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.plain)

    @property
    def span_names(self) -> list[str]:
        return [
            span.name for group in self.message.resource_spans for scope in group.scope_spans for span in scope.spans
        ]


def answer(status: int, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def partial_success(rejected: int, message: str) -> bytes:
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = rejected
    response.partial_success.error_message = message
    return response.SerializeToString()


@dataclass
class Receiver:
    """`requests` has everything that came whole. `replies` are used up in their order; then it answers 200."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    replies: list[bytes] = field(default_factory=list)
    on_request: Callable[[], None] = lambda: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/traces"

    @property
    def span_names(self) -> list[str]:
        return [name for request in self.requests for name in request.span_names]

    def reply(self, request: Request) -> bytes:
        self.requests.append(request)
        self.on_request()
        return self.replies.pop(0) if self.replies else answer(200)


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    receiving, is_over = Receiver(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                reply = receiving.reply(await _read(reader))
                if reply == STALL:
                    await is_over.wait()
                    return
                writer.write(reply)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    receiving.port = server.sockets[0].getsockname()[1]
    try:
        yield receiving
    finally:
        is_over.set()
        server.close()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Request(method, path, headers, await reader.readexactly(int(headers.get("content-length", 0))))
