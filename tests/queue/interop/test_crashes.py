"""A worker's claim holds against the other side while it lives, and its job is taken over once it is dead."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.queue.interop._node import Node
from tests.queue.interop._python import claim_one, new_job, succeed, until, until_state, work
from undercroft.queue._values import JobState, Rescued
from undercroft.queue.redis import RedisQueue

pytestmark = pytest.mark.anyio
QUICK = {"lockDuration": 300, "stalledInterval": 100, "maxStalledCount": 2}


async def rescue(engine: RedisQueue, queue: str) -> list[Rescued]:
    return await engine.rescue(queues=[queue], max_crashes=3, again_after_s=0)


async def test_a_node_workers_lock_protects_its_job_from_our_rescue(node: Node, engine: RedisQueue, queue: str) -> None:
    job = new_job(engine, queue, {"sleep_ms": 600})
    await engine.add([job])
    await node("work", queue=queue, opts={"lockDuration": 500})
    await until_state(engine, job.id, queue, JobState.ACTIVE)

    async def is_done() -> bool:
        assert await rescue(engine, queue) == []
        record = await engine.get(job.id, queue=queue)
        return record is not None and record.state is JobState.COMPLETED

    await until(is_done)
    assert (await node("rest", queue=queue))["done"] == [job.id]


async def test_a_job_of_a_node_worker_that_died_is_rescued_by_python(
    start_node: Callable[[], Node], engine: RedisQueue, queue: str
) -> None:
    job = new_job(engine, queue, {"hang": True})
    await engine.add([job])
    victim = start_node()
    await victim("work", queue=queue, opts={"lockDuration": 300})
    await until_state(engine, job.id, queue, JobState.ACTIVE)
    victim.kill()
    rescued = (await until(lambda: rescue(engine, queue)))[0]
    assert (rescued.id, rescued.is_quarantined) == (job.id, False)
    (run,) = await work(engine, queue)
    assert (run.id, run.crashes, run.attempt) == (job.id, 1, 2)


async def test_a_job_of_a_python_worker_that_died_is_recovered_by_node(
    node: Node, engine: RedisQueue, queue: str
) -> None:
    job = new_job(engine, queue)
    await engine.add([job])
    async with engine.attend("python", queues=[queue]):
        lost = await claim_one(engine, queue, lease_s=0.2)
        await node("work", queue=queue, opts=QUICK)
        await until_state(engine, job.id, queue, JobState.COMPLETED)
        result = await node("rest", queue=queue)
        assert (result["done"], result["stalled"]) == ([job.id], [job.id])
        assert not (await engine.finish(lost, await succeed(lost))).is_recorded
    record = await engine.get(job.id, queue=queue)
    assert record is not None
    assert record.crashes == 1


async def test_a_python_worker_that_beats_keeps_its_job_from_node(node: Node, engine: RedisQueue, queue: str) -> None:
    await engine.add([new_job(engine, queue)])
    async with engine.attend("python", queues=[queue]):
        job = await claim_one(engine, queue, lease_s=1.0)
        await node("work", queue=queue, opts=QUICK)
        end = engine.time() + 1.5
        while engine.time() < end:
            beat = await engine.beat("python", [job], lease_s=1.0)
            assert beat.lost == ()
        assert (await engine.finish(job, await succeed(job))).is_recorded
    result = await node("rest", queue=queue)
    assert (result["done"], result["stalled"]) == ([], [])


async def test_a_released_job_is_run_by_node_without_an_attempt_counted(
    node: Node, engine: RedisQueue, queue: str
) -> None:
    job = new_job(engine, queue, attempts=1)
    await engine.add([job])
    async with engine.attend("python", queues=[queue]):
        await engine.release([await claim_one(engine, queue)])
    await node("work", queue=queue, opts={})
    await until_state(engine, job.id, queue, JobState.COMPLETED)
    await node("rest", queue=queue)
    seen = await node("job", queue=queue, id=job.id)
    assert (seen["attemptsMade"], seen["stalledCounter"]) == (1, 0)
