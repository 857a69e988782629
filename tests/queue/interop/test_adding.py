"""What one side adds the other runs, with everything that it was told about the job."""

from __future__ import annotations

import json

import pytest

from tests.queue.interop._node import Node
from tests.queue.interop._python import new_job, succeed, until, until_state, work
from undercroft.queue import Backoff
from undercroft.queue._values import ClaimedJob, Completed, Deduplication, JobState, Keep
from undercroft.queue.redis import RedisQueue

pytestmark = pytest.mark.anyio


async def node_ran(node: Node, queue: str, count: int) -> list[str]:
    """Have Node work until it has completed so many jobs, and return their ids in order."""
    await node("work", queue=queue, opts={})

    async def is_done() -> bool:
        return len((await node("worked", queue=queue))["done"]) >= count

    await until(is_done)
    done: list[str] = (await node("rest", queue=queue))["done"]
    return done


async def test_python_runs_what_node_adds(node: Node, engine: RedisQueue, queue: str) -> None:
    opts = {"attempts": 4, "backoff": {"type": "exponential", "delay": 250}, "priority": 7}
    added = await node("add", queue=queue, name="task", data={"user": "Zoë"}, opts=opts)
    (job,) = await work(engine, queue)
    assert (job.id, job.name, json.loads(job.data)) == (added["id"], "task", {"user": "Zoë"})
    assert (job.attempts, job.priority, job.is_foreign) == (4, 7, True)
    assert job.backoff == Backoff(kind="exponential", base_s=0.25)
    seen = await node("job", queue=queue, id=job.id)
    assert seen["state"] == "completed"
    assert seen["returnvalue"] == {"by": "python", "data": {"user": "Zoë"}}
    assert seen["processedBy"] == "python"


async def test_node_runs_what_python_adds(node: Node, engine: RedisQueue, queue: str) -> None:
    job = new_job(engine, queue, {"user": "Zoë"}, attempts=3, backoff=Backoff.fixed("250ms"), tags=("a",))
    await engine.add([job])
    assert await node_ran(node, queue, 1) == [job.id]
    record = await engine.get(job.id, queue=queue)
    assert record is not None
    assert record.state is JobState.COMPLETED
    assert json.loads(record.result or b"") == {"by": "node", "name": "task", "data": {"user": "Zoë"}, "attempt": 0}
    assert (record.failures, record.attempts, record.tags) == (0, 3, ("a",))


async def test_node_sees_the_options_of_a_python_job(node: Node, engine: RedisQueue, queue: str) -> None:
    soon = engine.time() + 60
    job = new_job(
        engine,
        queue,
        {"a": [1, {"b": None}]},
        attempts=5,
        backoff=Backoff.exponential(2),
        priority=9,
        due_at=soon,
        keep_completed=Keep(age_s=3600, count=10),
        keep_failed=Keep(count=0),
    )
    await engine.add([job])
    seen = await node("job", queue=queue, id=job.id)
    assert (seen["state"], seen["name"], seen["data"]) == ("delayed", "task", {"a": [1, {"b": None}]})
    assert seen["opts"]["attempts"] == 5
    assert seen["opts"]["backoff"] == {"type": "exponential", "delay": 2000}
    assert (seen["priority"], seen["opts"]["priority"]) == (9, 9)
    assert 59_000 < seen["delay"] <= 60_001
    assert seen["opts"]["removeOnComplete"] == {"age": 3600, "count": 10}
    assert seen["opts"]["removeOnFail"] is True


async def test_python_waits_for_nodes_delay(node: Node, engine: RedisQueue, queue: str) -> None:
    added = await node("add", queue=queue, name="task", data={}, opts={"delay": 300})
    record = await engine.get(added["id"], queue=queue)
    assert record is not None
    assert record.state is JobState.DELAYED
    (job,) = await work(engine, queue)
    assert engine.time() >= job.due_at
    assert job.due_at == pytest.approx(job.created_at + 0.3)


async def test_node_waits_for_pythons_delay(node: Node, engine: RedisQueue, queue: str) -> None:
    job = new_job(engine, queue, due_at=engine.time() + 0.3)
    await engine.add([job])
    await node_ran(node, queue, 1)
    record = await engine.get(job.id, queue=queue)
    assert record is not None
    assert record.started_at is not None
    assert record.started_at.timestamp() >= job.due_at - 0.001


async def test_both_promote_the_others_delayed_jobs(node: Node, engine: RedisQueue, queue: str) -> None:
    ours = new_job(engine, queue, due_at=engine.time() + 600)
    await engine.add([ours])
    theirs = await node("add", queue=queue, name="task", data={}, opts={"delay": 600_000})
    await node("promote", queue=queue, id=ours.id)
    assert await engine.promote(theirs["id"], queue=queue)
    assert {job.id for job in await work(engine, queue, count=2)} == {ours.id, theirs["id"]}


@pytest.mark.parametrize("worker", ["python", "node"])
async def test_priorities_of_both_are_one_order(node: Node, engine: RedisQueue, queue: str, worker: str) -> None:
    expected = []
    for priority in (5, 1, 0, 3):
        ours = new_job(engine, queue, priority=priority)
        await engine.add([ours])
        theirs = await node("add", queue=queue, name="task", data={}, opts={"priority": priority + 1})
        expected += [(priority, ours.id), (priority + 1, theirs["id"])]
    order = [job_id for _, job_id in sorted(expected, key=lambda one: one[0])]
    if worker == "python":
        assert [job.id for job in await work(engine, queue, count=8)] == order
    else:
        assert await node_ran(node, queue, 8) == order


async def test_nodes_deduplication_blocks_python_until_the_job_ends(node: Node, engine: RedisQueue, queue: str) -> None:
    added = await node("add", queue=queue, name="task", data={}, opts={"deduplication": {"id": "one"}})
    again = new_job(engine, queue, deduplication=Deduplication.simple("one"))
    (refused,) = await engine.add([again])
    assert (refused.id, refused.is_new) == (added["id"], False)
    await work(engine, queue)
    (accepted,) = await engine.add([again])
    assert (accepted.id, accepted.is_new) == (again.id, True)


async def test_pythons_deduplication_blocks_node_until_the_job_ends(node: Node, engine: RedisQueue, queue: str) -> None:
    job = new_job(engine, queue, deduplication=Deduplication.simple("one"))
    await engine.add([job])
    opts = {"deduplication": {"id": "one"}}
    refused = await node("add", queue=queue, name="task", data={}, opts=opts)
    assert refused["id"] == job.id
    await node_ran(node, queue, 1)
    accepted = await node("add", queue=queue, name="task", data={}, opts=opts)
    assert accepted["id"] != job.id
    assert (await engine.counts(queue=queue)).waiting == 1


async def test_an_id_is_one_job_on_both_sides(node: Node, engine: RedisQueue, queue: str) -> None:
    job = new_job(engine, queue, {"from": "python"})
    await engine.add([job])
    await node("add", queue=queue, name="task", data={"from": "node"}, opts={"jobId": job.id})
    (run,) = await work(engine, queue)
    assert json.loads(run.data) == {"from": "python"}
    assert (await engine.counts(queue=queue)).waiting == 0


async def test_what_node_wants_deleted_at_its_end_is_deleted(node: Node, engine: RedisQueue, queue: str) -> None:
    opts = {"removeOnComplete": True}
    added = await node("add", queue=queue, name="task", data={}, opts=opts)
    await work(engine, queue)
    assert await engine.get(added["id"], queue=queue) is None
    assert await node("job", queue=queue, id=added["id"]) is None


async def test_each_of_500_jobs_in_one_queue_is_run_once(node: Node, engine: RedisQueue, queue: str) -> None:
    ours = [new_job(engine, queue, {"n": n}) for n in range(250)]
    theirs = await node("addBulk", queue=queue, jobs=[{"name": "task", "data": {"n": n}} for n in range(250)])
    await engine.add(ours)
    ran: list[str] = []

    async def handle(job: ClaimedJob) -> Completed:
        ran.append(job.id)
        return await succeed(job)

    await node("work", queue=queue, opts={"concurrency": 2})
    await work(engine, queue, handle, count=100)  # Node takes the others meanwhile
    await until_all_done(engine, queue)
    by_node = (await node("rest", queue=queue))["done"]
    assert sorted([*ran, *by_node]) == sorted([*theirs, *[job.id for job in ours]])
    assert by_node
    assert (await engine.counts(queue=queue)).completed == 500


async def until_all_done(engine: RedisQueue, queue: str) -> None:
    """Return when nothing waits or runs any more."""

    async def is_done() -> bool:
        counts = await engine.counts(queue=queue)
        return counts.waiting == counts.active == 0

    await until(is_done)


async def test_a_job_cancelled_by_python_fails_in_node(node: Node, engine: RedisQueue, queue: str) -> None:
    job = new_job(engine, queue, attempts=5)
    await engine.add([job])
    assert await engine.cancel(job.id, queue=queue)
    await node("work", queue=queue, opts={})
    await until_state(engine, job.id, queue, JobState.FAILED)
    assert (await node("rest", queue=queue))["failed"] == [{"id": job.id, "error": "cancelled"}]
