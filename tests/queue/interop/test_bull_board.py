"""Bull Board's adapter for BullMQ shows our queues and jobs as they are."""

from __future__ import annotations

from typing import Any

import pytest

from tests.queue.interop._node import Node
from tests.queue.interop._python import claim_one, new_job, work
from undercroft.queue._values import ClaimedJob, Completed, Failed, QueueSettings
from undercroft.queue.redis import RedisQueue

pytestmark = pytest.mark.anyio


async def page(node: Node, queue: str, status: str) -> dict[str, Any]:
    """Return what the board's page of a queue shows of it."""
    board = await node("board", queue=queue, status=status)
    (shown,) = board["page"]["queues"]
    found: dict[str, Any] = shown
    return found


async def handle(job: ClaimedJob) -> Completed | Failed:
    if b"bad" in job.data:
        return Failed(error_type="ValueError", error="bad data", stack="Traceback …\nValueError", retry_at=None)
    return Completed(result=b'{"sent":true}')


async def test_the_board_counts_our_jobs_by_state(node: Node, engine: RedisQueue, queue: str) -> None:
    await engine.add([new_job(engine, queue), new_job(engine, queue, {"bad": 1})])
    await work(engine, queue, handle, count=2)
    parent = new_job(engine, queue, name="parent", has_children=True)
    child = new_job(engine, queue, name="child", parent_id=parent.id, parent_queue=queue, priority=4)
    later = new_job(engine, queue, due_at=engine.time() + 600)
    async with engine.attend("python", queues=[queue]):
        await engine.add([new_job(engine, queue)])
        await claim_one(engine, queue)
        await engine.add([parent, child])
        await engine.add([later])
        await engine.add([new_job(engine, queue)])
        board = await node("board", queue=queue, status="latest")
        assert board["counts"] == {
            "active": 1,
            "completed": 1,
            "delayed": 1,
            "failed": 1,
            "prioritized": 1,
            "waiting": 1,
            "waiting-children": 1,
        }
        assert len(board["page"]["queues"][0]["jobs"]) == 7
        assert not board["isPaused"]
        assert board["redis"]


async def test_the_board_shows_a_completed_job(node: Node, engine: RedisQueue, queue: str) -> None:
    job = new_job(engine, queue, {"to": "Zoë"}, attempts=3)
    await engine.add([job])
    await work(engine, queue, handle)
    (shown,) = (await page(node, queue, "completed"))["jobs"]
    assert (shown["id"], shown["name"], shown["data"], shown["returnValue"]) == (
        *(job.id, "task", {"to": "Zoë"}),
        {"sent": True},
    )
    assert (shown["attempts"], shown["opts"]["attempts"], shown["isFailed"]) == (1, 3, False)
    assert shown["timestamp"] == int(job.created_at * 1000)
    assert shown["timestamp"] <= shown["processedOn"] <= shown["finishedOn"]
    assert shown["processedBy"] == "python"


async def test_the_board_shows_why_a_job_failed(node: Node, engine: RedisQueue, queue: str) -> None:
    await engine.add([new_job(engine, queue, {"bad": 1})])
    await work(engine, queue, handle)
    (shown,) = (await page(node, queue, "failed"))["jobs"]
    assert (shown["isFailed"], shown["failedReason"]) == (True, "bad data")
    assert shown["stacktrace"] == ["Traceback …\nValueError"]


async def test_the_board_shows_delayed_and_prioritised_jobs(node: Node, engine: RedisQueue, queue: str) -> None:
    later = new_job(engine, queue, due_at=engine.time() + 600)
    urgent = new_job(engine, queue, priority=2)
    await engine.add([later])
    await engine.add([urgent])
    (shown,) = (await page(node, queue, "delayed"))["jobs"]
    assert (shown["id"], shown["delay"]) == (later.id, 600_000)
    (shown,) = (await page(node, queue, "prioritized"))["jobs"]
    assert (shown["id"], shown["priority"]) == (urgent.id, 2)


async def test_the_board_shows_a_pause_and_a_limit_of_ours(node: Node, engine: RedisQueue, queue: str) -> None:
    await engine.configure(queue, QueueSettings(is_paused=True, max_active=4))
    shown = await page(node, queue, "latest")
    assert (shown["isPaused"], shown["globalConcurrency"]) == (True, 4)


async def test_nodes_metrics_count_our_jobs(node: Node, engine: RedisQueue, queue: str) -> None:
    await engine.add([new_job(engine, queue), new_job(engine, queue, {"bad": 1})])
    await work(engine, queue, handle, count=2)
    assert (await node("metrics", queue=queue, type="completed"))["meta"]["count"] == 1
    assert (await node("metrics", queue=queue, type="failed"))["meta"]["count"] == 1
    (minute, *_) = (await engine.statistics(queue)).minutes
    assert (minute.completed, minute.failed) == (1, 1)
