"""Parents of one side with children of the other."""

from __future__ import annotations

import json

import pytest

from tests.queue.interop._node import Node
from tests.queue.interop._python import new_job, succeed, until_state, work
from undercroft.queue._values import ChildRecord, ClaimedJob, Completed, Failed, JobState, OnChildFailure
from undercroft.queue.redis import RedisQueue

pytestmark = pytest.mark.anyio


async def test_a_node_parent_gets_the_results_of_python_children(node: Node, engine: RedisQueue, queue: str) -> None:
    below = f"{queue}-below"
    children = [{"name": "child", "queueName": below, "data": {"n": n}} for n in (1, 2)]
    flow = {"name": "parent", "queueName": queue, "data": {"children": True}, "children": children}
    added = await node("addFlow", flow=flow)
    record = await engine.get(added["id"], queue=queue)
    assert record is not None
    assert record.state is JobState.BLOCKED
    await work(engine, below, count=2)
    await node("work", queue=queue, opts={})
    await until_state(engine, added["id"], queue, JobState.COMPLETED)
    await node("rest", queue=queue)
    seen = await node("job", queue=queue, id=added["id"])
    assert seen["returnvalue"]["children"] == {
        f"bull:{below}:{child['id']}": {"by": "python", "data": {"n": n}}
        for n, child in enumerate(added["children"], 1)
    }


async def test_a_python_parent_gets_the_results_of_node_children(node: Node, engine: RedisQueue, queue: str) -> None:
    below = f"{queue}-below"
    parent = new_job(engine, queue, name="parent", has_children=True)
    children = [new_job(engine, below, {"n": n}, name="child", parent_id=parent.id, parent_queue=queue) for n in (1, 2)]
    await engine.add([parent, *children])
    assert (await node("job", queue=queue, id=parent.id))["state"] == "waiting-children"
    await node("work", queue=below, opts={})
    await work(engine, queue)
    await node("rest", queue=below)
    seen = await engine.children(parent.id, queue=queue)
    assert [(child.id, child.queue, child.state) for child in seen] == [
        (child.id, below, JobState.COMPLETED) for child in children
    ]
    assert [json.loads(child.result or b"")["data"] for child in seen] == [{"n": 1}, {"n": 2}]


async def test_node_sees_the_values_of_a_python_flow(node: Node, engine: RedisQueue, queue: str) -> None:
    parent = new_job(engine, queue, name="parent", has_children=True)
    child = new_job(engine, queue, {"n": 1}, name="child", parent_id=parent.id, parent_queue=queue)
    await engine.add([parent, child])
    await work(engine, queue)
    seen = await node("children", queue=queue, id=parent.id)
    assert seen["values"] == {f"bull:{queue}:{child.id}": {"by": "python", "data": {"n": 1}}}


async def test_a_python_childs_failure_fails_its_node_parent(node: Node, engine: RedisQueue, queue: str) -> None:
    below = f"{queue}-below"
    child = {"name": "child", "queueName": below, "data": {}, "opts": {"failParentOnFailure": True}}
    flow = {"name": "parent", "queueName": queue, "data": {}, "children": [child]}
    added = await node("addFlow", flow=flow)

    async def fail(job: ClaimedJob) -> Failed:
        return Failed(error_type="ValueError", error="no", retry_at=None)

    await work(engine, below, fail)
    await node("work", queue=queue, opts={})
    await until_state(engine, added["id"], queue, JobState.FAILED)
    failed = (await node("rest", queue=queue))["failed"]
    assert failed == [{"id": added["id"], "error": f"child bull:{below}:{added['children'][0]['id']} failed"}]


async def test_a_node_childs_failure_dooms_its_python_parent(node: Node, engine: RedisQueue, queue: str) -> None:
    below = f"{queue}-below"
    parent = new_job(engine, queue, name="parent", has_children=True)
    child = new_job(engine, below, {"fail": 9}, name="child", parent_id=parent.id, parent_queue=queue)
    await engine.add([parent, child])
    await node("work", queue=below, opts={})

    async def end(job: ClaimedJob) -> Failed:
        assert job.doom is not None
        return Failed(error_type=job.doom.error_type, error=job.doom.error, retry_at=None)

    (run,) = await work(engine, queue, end)
    await node("rest", queue=below)
    assert run.doom is not None
    assert run.doom.error_type == "ChildFailed"
    assert child.id in run.doom.error
    assert "node failed at 0" in run.doom.error


async def test_an_ignored_failure_of_a_node_child_is_seen_by_the_parent(
    node: Node, engine: RedisQueue, queue: str
) -> None:
    below = f"{queue}-below"
    parent = new_job(engine, queue, name="parent", has_children=True)
    child = new_job(
        *(engine, below, {"fail": 9}),
        name="child",
        parent_id=parent.id,
        parent_queue=queue,
        on_child_failure=OnChildFailure.IGNORE,
    )
    await engine.add([parent, child])
    await node("work", queue=below, opts={})

    async def look(job: ClaimedJob) -> Completed:
        assert await engine.children(job.id, queue=queue) == [
            ChildRecord(id=child.id, queue=below, state=JobState.FAILED, error="node failed at 0")
        ]
        return await succeed(job)

    await work(engine, queue, look)
    await node("rest", queue=below)
