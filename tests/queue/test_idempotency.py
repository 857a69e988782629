"""One key, many clients at once: one job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from tests._services._own import own_server
from tests._services._provide import is_ci, skip_or_fail
from tests._services.redis import Redis
from undercroft.queue import Counts, Queue, create_queue, define_job

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]
CLIENTS = 64
RACES = 1000
CONNECTIONS = 8
"""Stores of their own, with a connection each; the clients share them."""


async def pack(order: int) -> None: ...


PACK = define_job(name="pack", handler=pack)


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/queue.db?synchronous=normal"
        return
    server = Redis()
    lacking = server.missing()
    if lacking is not None:
        skip_or_fail(f"{lacking} is not installed", is_ci=is_ci())
    with own_server(server) as service:
        yield f"redis://{service.host}:{service.port}/0"


@pytest.mark.slow
async def test_a_thousand_races_of_64_clients_store_one_job_each(url: str) -> None:
    async with AsyncExitStack() as stack:
        queues = [await stack.enter_async_context(create_queue(url, jobs=[PACK])) for _ in range(CONNECTIONS)]
        winners: list[set[str]] = [set() for _ in range(RACES)]
        new = 0

        async def ask(queue: Queue) -> None:
            nonlocal new
            for race in range(RACES):
                handle = await queue.enqueue("pack", {"order": race}, idempotency_key=f"order-{race}")
                winners[race].add(handle.id)
                new += handle.is_new

        async with anyio.create_task_group() as group:
            for client in range(CLIENTS):
                group.start_soon(ask, queues[client % CONNECTIONS])

        assert [len(ids) for ids in winners] == [1] * RACES
        assert await queues[0].counts() == Counts(waiting=RACES)
        assert new == RACES
