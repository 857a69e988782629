"""A process of the kind `worker` answers the health paths and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from undercroft import Infra
from undercroft.asgi import InfraMiddleware

pytestmark = pytest.mark.anyio


async def application(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def answer(infra: Infra, path: str, kind: str = "http") -> list[Any]:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": kind, "method": "GET", "path": path, "headers": []}
    await InfraMiddleware(application, infra)(scope, receive, send)
    return sent


async def test_worker_process_answers_health_and_refuses_the_rest(home: Path) -> None:
    async with Infra(home=home, process="worker", environ={}) as infra:
        ready = await answer(infra, "/readyz")
        refused = await answer(infra, "/orders")
        closed = await answer(infra, "/ws", kind="websocket")

    assert ready[0]["status"] == 200
    assert refused[0]["status"] == 503
    assert msgspec.json.decode(refused[1]["body"])["code"] == "UC3001"
    assert closed[-1]["type"] == "websocket.close"


@pytest.mark.parametrize("process", ["api", "all"])
async def test_other_processes_serve_the_application(home: Path, process: str) -> None:
    async with Infra(home=home, process=process, environ={}) as infra:
        assert (await answer(infra, "/orders"))[1]["body"] == b"hello"
