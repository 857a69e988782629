"""Node's job schedulers go on when Python works their jobs."""

from __future__ import annotations

import pytest

from tests.queue.interop._node import Node
from tests.queue.interop._python import claim_one, succeed, until, work
from undercroft.queue.redis import RedisQueue

pytestmark = pytest.mark.anyio
TEMPLATE = {"name": "tick", "data": {"n": 1}, "opts": {"attempts": 3}}


async def test_an_interval_goes_on_when_python_works_its_jobs(node: Node, engine: RedisQueue, queue: str) -> None:
    await node("schedule", queue=queue, id="often", repeat={"every": 100}, template=TEMPLATE)
    runs = await work(engine, queue, count=4)
    assert [(run.name, run.data, run.attempts) for run in runs] == [("tick", b'{"n":1}', 3)] * 4
    slots = [int(run.id.rpartition(":")[2]) for run in runs]
    assert all(slot % 100 == slots[0] % 100 for slot in slots)
    assert slots == sorted(set(slots))
    assert (await node("scheduler", queue=queue, id="often"))["iterationCount"] == 5
    await node("unschedule", queue=queue, id="often")


async def test_a_pattern_goes_on_when_python_works_its_jobs(node: Node, engine: RedisQueue, queue: str) -> None:
    repeat = {"pattern": "* * * * * *", "tz": "Europe/Berlin"}
    await node("schedule", queue=queue, id="second", repeat=repeat, template=TEMPLATE)
    runs = await work(engine, queue, count=2)
    slots = [int(run.id.rpartition(":")[2]) for run in runs]
    assert slots[1] > slots[0]
    assert not any(slot % 1000 for slot in slots)
    scheduler = await node("scheduler", queue=queue, id="second")
    assert scheduler["next"] > slots[1]
    await node("unschedule", queue=queue, id="second")


async def test_python_and_node_take_turns_at_one_schedule(node: Node, engine: RedisQueue, queue: str) -> None:
    await node("schedule", queue=queue, id="often", repeat={"every": 100}, template=TEMPLATE)
    await work(engine, queue, count=2)
    await node("work", queue=queue, opts={})

    async def has_worked() -> bool:
        return len((await node("worked", queue=queue))["done"]) >= 2

    await until(has_worked)
    await node("rest", queue=queue)
    await work(engine, queue, count=2)
    assert (await node("scheduler", queue=queue, id="often"))["iterationCount"] >= 6
    await node("unschedule", queue=queue, id="often")


async def test_a_schedule_ends_at_its_limit(node: Node, engine: RedisQueue, queue: str) -> None:
    await node("schedule", queue=queue, id="twice", repeat={"every": 50, "limit": 2}, template=TEMPLATE)
    await work(engine, queue, count=2)
    counts = await engine.counts(queue=queue)
    assert (counts.waiting, counts.delayed, counts.completed) == (0, 0, 2)


async def test_a_removed_schedule_produces_nothing_more(node: Node, engine: RedisQueue, queue: str) -> None:
    await node("schedule", queue=queue, id="gone", repeat={"every": 1000}, template=TEMPLATE)
    await node("unschedule", queue=queue, id="gone")
    counts = await engine.counts(queue=queue)
    assert counts.delayed == 0


async def test_the_next_job_is_there_before_the_run_ends(node: Node, engine: RedisQueue, queue: str) -> None:
    await node("schedule", queue=queue, id="hourly", repeat={"every": 3_600_000}, template=TEMPLATE)
    async with engine.attend("python", queues=[queue]):
        job = await claim_one(engine, queue)
        assert (await engine.counts(queue=queue)).delayed == 1
        await engine.finish(job, await succeed(job))
    assert (await engine.counts(queue=queue)).delayed == 1


async def test_draining_leaves_the_next_job_of_a_schedule(node: Node, engine: RedisQueue, queue: str) -> None:
    await node("schedule", queue=queue, id="hourly", repeat={"every": 3_600_000}, template=TEMPLATE)
    await node("addBulk", queue=queue, jobs=[{"name": "task", "data": {}} for _ in range(3)])
    await node("add", queue=queue, name="task", data={}, opts={"delay": 60_000})
    assert await engine.drain(queue, delayed=True) == 4
    (job,) = await work(engine, queue)
    assert job.name == "tick"
