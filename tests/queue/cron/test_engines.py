"""Schedulers that share nothing but a store: on real engines, by the real clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests._services._own import own_server
from tests._services._provide import is_ci, skip_or_fail
from tests._services.redis import Redis
from undercroft.queue import CronJob, Queue, create_queue, define_cron

pytestmark = pytest.mark.anyio
SCHEDULERS = 6
SLOTS = 5


async def nothing() -> None: ...


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/queue.db"
        return
    server = Redis()
    lacking = server.missing()
    if lacking is not None:
        skip_or_fail(f"{lacking} is not installed", is_ci=is_ci())
    with own_server(server) as service:
        yield f"redis://{service.host}:{service.port}/0"


async def test_each_slot_is_fired_once_by_schedulers_with_stores_of_their_own(url: str) -> None:
    tick = define_cron("tick", every="1s", handler=nothing, overlap="allow")
    async with AsyncExitStack() as stack:
        queues = [await stack.enter_async_context(_queue(url, tick)) for _ in range(SCHEDULERS)]
        async with anyio.create_task_group() as group:
            for queue in queues:
                group.start_soon(queue.crons.scheduler(poll="100ms").run)
            with anyio.fail_after(20):
                while len(await _slots(queues[0])) < SLOTS:
                    await anyio.sleep(0.05)
            group.cancel_scope.cancel()
        slots = await _slots(queues[0])
        history = await queues[0].crons.history("tick")

    first = min(slots)
    assert slots == Counter({first + number: 1 for number in range(len(slots))})
    assert len(history) == len(slots)
    assert {str(entry.outcome) for entry in history} == {"fired"}


def _queue(url: str, tick: CronJob[..., Any]) -> Queue:
    queue = create_queue(url)
    return Queue(queue._engine, crons=[tick])


async def _slots(queue: Queue) -> Counter[int]:
    return Counter(int(job.id.rpartition("-")[2]) for job in await queue.list_jobs(limit=1000))
