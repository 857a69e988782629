"""The probes of a worker, over raw TCP."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from undercroft import Infra
from undercroft.cli._probes import probed

pytestmark = pytest.mark.anyio


async def exchange(infra: Infra, request: bytes, *, is_stopping: bool = False) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of the answer to `request`."""
    listener = socket.create_server(("127.0.0.1", 0))
    async with probed(infra, listener, is_stopping=lambda: is_stopping):
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(request)
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, body


async def get(infra: Infra, target: str, *headers: str, **more: Any) -> tuple[int, dict[str, str], Any]:
    lines = "\r\n".join([f"GET {target} HTTP/1.1", "Host: x", *headers, "", ""])
    status, found, body = await exchange(infra, lines.encode(), **more)
    return status, found, json.loads(body)


async def test_all_four_paths_are_answered_as_the_application_answers_them(home: Path) -> None:
    async with Infra(environ={}, home=home) as infra:
        infra.health.register("search", lambda: False, critical=False)
        infra.health.register("tables", lambda: False, groups="startup")
        assert (await get(infra, "/livez"))[::2] == (200, {"status": "healthy"})
        assert (await get(infra, "/readyz"))[::2] == (503, {"status": "unhealthy"})
        assert (await get(infra, "/startupz"))[::2] == (503, {"status": "unhealthy"})
        assert "search" in (await get(infra, "/readyz?verbose"))[2]["checks"]
        status, headers, document = await get(infra, "/health", "ACCEPT: application/health+json")
        assert (status, headers["content-type"]) == (503, "application/health+json")
        assert document["checks"]["search:responseTime"][0]["status"] == "fail"


async def test_one_that_is_stopping_lives_and_is_not_ready(home: Path) -> None:
    async with Infra(environ={}, home=home) as infra:
        assert (await get(infra, "/livez", is_stopping=True))[0] == 200
        assert (await get(infra, "/readyz", is_stopping=True))[0] == 503
    assert (await get(infra, "/readyz"))[0] == 503


async def test_messages_are_not_told_in_production(home: Path) -> None:
    async with Infra(environ={}, home=home, env="production") as infra:
        infra.health.register("it", lambda: {"status": "fail", "message": "db.internal refused"})
        assert "db.internal" not in json.dumps((await get(infra, "/health"))[2])


@pytest.mark.parametrize(
    ("request_line", "status"),
    [("GET /other HTTP/1.1", 404), ("POST /livez HTTP/1.1", 400), ("GET", 400), ("\x00\xff", 400)],
)
async def test_nothing_else_is_answered(home: Path, request_line: str, status: int) -> None:
    infra = Infra(environ={}, home=home)
    assert (await exchange(infra, request_line.encode("latin-1") + b"\r\n\r\n"))[0] == status


async def test_head_has_no_body(home: Path) -> None:
    infra = Infra(environ={}, home=home)
    status, headers, body = await exchange(infra, b"HEAD /livez HTTP/1.1\r\n\r\n")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 0


async def test_a_line_that_never_ends_is_dropped(home: Path) -> None:
    infra = Infra(environ={}, home=home)
    listener = socket.create_server(("127.0.0.1", 0))
    async with probed(infra, listener, is_stopping=lambda: False):
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"x" * 20_000)
        async with asyncio.timeout(10):
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()
