"""Many requests at once keep their names, their jobs and their mails apart."""

import asyncio
from collections import Counter
from pathlib import Path

import anyio
import httpx2
import pytest

from tests.asgi._apps import FRAMEWORKS, note
from tests.asgi._calls import LogLines, answering, call, http_scope
from tests.asgi._server import served
from undercroft import Infra, current
from undercroft._core.context import correlation
from undercroft.asgi import InfraMiddleware, Receive, Scope, Send

COUNT = 200


async def ask_all(address: str, paths: list[str]) -> dict[str, str]:
    """Ask for all paths at once, each under an id of its own; return the id of each one's job."""
    limits = httpx2.Limits(max_connections=50)
    async with httpx2.AsyncClient(base_url=f"http://{address}", limits=limits, timeout=30, trust_env=False) as client:

        async def ask(number: int, path: str) -> tuple[str, str]:
            answer = await client.get(path, headers={"x-request-id": f"request-{number}"})
            assert (answer.status_code, answer.headers["x-request-id"]) == (200, f"request-{number}")
            assert answer.json()["request_id"] == f"request-{number}"
            return f"request-{number}", answer.json()["job"]

        return dict(await asyncio.gather(*[ask(number, path) for number, path in enumerate(paths)]))


@pytest.mark.parametrize("framework", ["starlette behind BaseHTTPMiddleware", "fastapi, added", "litestar, wrapped"])
def test_requests_at_once_keep_their_names_apart(framework: str, home: Path, lines: LogLines) -> None:
    infra = Infra(environ={}, home=home / "state", jobs=[note])
    with served(FRAMEWORKS[framework](infra)) as server:
        jobs = asyncio.run(ask_all(server.address, ["/act", "/thread"] * (COUNT // 2)))
        lines.wait_for(lambda: lines.access, COUNT)
        records = server.run(infra.queue.list_jobs(limit=COUNT + 1))
    expected = {f"request-{number}" for number in range(COUNT)}
    assert {record.id: record.request_id for record in records} == {job: name for name, job in jobs.items()}
    for message in ("request", "acting", "job enqueued"):
        told = Counter(line["request_id"] for line in lines.all if line["message"] == message)
        assert told == Counter(expected), message


@pytest.mark.anyio
async def test_two_applications_in_one_loop_stay_apart(home: Path) -> None:
    infras = [Infra(environ={}, home=home / str(number)) for number in range(2)]
    seen: list[tuple[int, str | None]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
            seen.append((infras.index(current()), correlation().request_id))
        await answering()(scope, receive, send)

    apps = [InfraMiddleware(app, infra) for infra in infras]
    requests = [
        call(apps[number % 2], http_scope(headers=[("x-request-id", f"{number % 2}-{number}")]))
        for number in range(COUNT)
    ]
    await asyncio.gather(*requests)
    assert len(seen) == 3 * COUNT
    assert all(str(name).startswith(f"{index}-") for index, name in seen)
