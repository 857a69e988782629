"""Runs of one side as the other sees them: failures, retries, progress, logs, events, and the settings of a queue."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.queue.interop._node import Node
from tests.queue.interop._python import DEADLINE_S, claim_one, new_job, succeed, until, until_state, work
from undercroft.queue import Backoff
from undercroft.queue._values import ClaimedJob, Completed, Failed, JobState, QueueSettings, RateLimit
from undercroft.queue.redis import RedisQueue

pytestmark = pytest.mark.anyio


async def fail_twice(job: ClaimedJob) -> Completed | Failed:
    """Fail two runs as our worker would record them, and complete the third."""
    if job.attempt > 2:
        return await succeed(job)
    assert job.backoff is not None
    retry_at = job.created_at + job.backoff.delay_s(job.attempt)
    return Failed(
        error_type="ValueError", error=f"python failed at {job.attempt}", stack="Traceback", retry_at=retry_at
    )


# --- Retries ---------------------------------------------------------------------------------------------------------


async def test_retries_in_python_are_attempts_to_node(node: Node, engine: RedisQueue, queue: str) -> None:
    opts = {"attempts": 5, "backoff": {"type": "fixed", "delay": 20}}
    added = await node("add", queue=queue, name="task", data={}, opts=opts)
    runs = await work(engine, queue, fail_twice, count=3)
    assert [run.attempt for run in runs] == [1, 2, 3]
    seen = await node("job", queue=queue, id=added["id"])
    assert (seen["state"], seen["attemptsMade"], seen["attemptsStarted"]) == ("completed", 3, 3)
    assert seen["failedReason"] == "python failed at 2"


async def test_retries_in_node_are_failures_to_python(node: Node, engine: RedisQueue, queue: str) -> None:
    job = new_job(engine, queue, {"fail": 2}, attempts=5, backoff=Backoff.fixed("20ms"))
    await engine.add([job])
    await node("work", queue=queue, opts={})
    await until_state(engine, job.id, queue, JobState.COMPLETED)
    await node("rest", queue=queue)
    record = await engine.get(job.id, queue=queue)
    assert record is not None
    assert (record.failures, record.crashes, record.attempts) == (2, 0, 5)


async def test_a_job_is_passed_between_the_workers_with_its_count(node: Node, engine: RedisQueue, queue: str) -> None:
    job = new_job(engine, queue, {"fail": 2}, attempts=3)

    async def fail_now(run: ClaimedJob) -> Failed:
        return Failed(error_type="ValueError", error="in python", retry_at=engine.time())

    await engine.add([job])
    await work(engine, queue, fail_now)
    await node("work", queue=queue, opts={})  # fails once more, and then has reached the data's two
    await until_state(engine, job.id, queue, JobState.COMPLETED)
    assert (await node("rest", queue=queue))["failed"] == [{"id": job.id, "error": "node failed at 1"}]
    assert (await node("job", queue=queue, id=job.id))["attemptsMade"] == 3


async def test_node_sees_why_a_python_job_failed_and_retries_it(node: Node, engine: RedisQueue, queue: str) -> None:
    job = new_job(engine, queue)

    async def fail(run: ClaimedJob) -> Failed:
        return Failed(error_type="ValueError", error="no such user", stack="Traceback …", retry_at=None)

    await engine.add([job])
    await work(engine, queue, fail)
    seen = await node("job", queue=queue, id=job.id)
    assert (seen["state"], seen["failedReason"], seen["attemptsMade"]) == ("failed", "no such user", 1)
    await node("retry", queue=queue, id=job.id)
    await work(engine, queue)
    assert (await node("job", queue=queue, id=job.id))["state"] == "completed"


async def test_python_sees_why_a_node_job_failed_and_retries_it(node: Node, engine: RedisQueue, queue: str) -> None:
    added = await node("add", queue=queue, name="task", data={"fail": 9}, opts={})
    await node("work", queue=queue, opts={})
    await until_state(engine, added["id"], queue, JobState.FAILED)
    await node("rest", queue=queue)
    record = await engine.get(added["id"], queue=queue)
    assert record is not None
    assert (record.error, record.error_type, record.failures) == ("node failed at 0", "Error", 1)
    assert await engine.retry(added["id"], queue=queue)
    (run,) = await work(engine, queue)
    assert (run.failures, run.attempt) == (0, 1)


# --- Progress, logs, events ------------------------------------------------------------------------------------------


async def test_node_sees_progress_and_logs_of_python(node: Node, engine: RedisQueue, queue: str) -> None:
    added = await node("add", queue=queue, name="task", data={}, opts={})

    async def report(job: ClaimedJob) -> Completed:
        assert await engine.set_progress(job, b'{"percent":50}')
        await engine.add_log(job, "half of it", keep=10)
        return await succeed(job)

    await work(engine, queue, report)
    assert (await node("job", queue=queue, id=added["id"]))["progress"] == {"percent": 50}
    assert await node("logs", queue=queue, id=added["id"]) == ["half of it"]


async def test_python_sees_progress_and_logs_of_node(node: Node, engine: RedisQueue, queue: str) -> None:
    job = new_job(engine, queue, {"report": {"percent": 50}})
    await engine.add([job])
    await node("work", queue=queue, opts={})
    await until_state(engine, job.id, queue, JobState.COMPLETED)
    await node("rest", queue=queue)
    record = await engine.get(job.id, queue=queue)
    assert record is not None
    assert json.loads(record.progress or b"") == {"percent": 50}
    assert await engine.logs(job.id, queue=queue) == ['node at {"percent":50}']


async def test_nodes_queue_events_hear_python(node: Node, engine: RedisQueue, queue: str) -> None:
    await node("listen", queue=queue)
    done, failed = new_job(engine, queue, {"n": 1}), new_job(engine, queue)

    async def handle(job: ClaimedJob) -> Completed | Failed:
        if job.id == done.id:
            await engine.set_progress(job, b"42")
            return await succeed(job)
        return Failed(error_type="ValueError", error="no", retry_at=None)

    await engine.add([done])
    await engine.add([failed])
    await work(engine, queue, handle, count=2)

    async def heard() -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = await node("heard", queue=queue)
        return events if events and events[-1]["type"] == "failed" else []

    events = [(event["type"], event["jobId"]) for event in await until(heard)]
    assert events == [
        *[("added", done.id), ("added", failed.id)],
        *[("active", done.id), ("progress", done.id), ("completed", done.id)],
        *[("active", failed.id), ("failed", failed.id)],
    ]
    told = {event["type"]: event for event in await node("heard", queue=queue)}
    assert told["completed"]["returnvalue"] == {"by": "python", "data": {"n": 1}}
    assert told["failed"]["failedReason"] == "no"
    assert told["progress"]["data"] == 42
    await node("forget", names=[queue])


async def test_python_hears_the_events_of_node(node: Node, engine: RedisQueue, queue: str) -> None:
    await engine.ping()
    events = engine.events([queue])
    added = await node("add", queue=queue, name="task", data={"report": 7}, opts={})
    await node("work", queue=queue, opts={})
    heard = []
    async for event in events:
        assert (event.queue, event.job_id) == (queue, added["id"])
        heard.append(event)
        if event.type == "completed":
            break
    await events.aclose()  # type: ignore[attr-defined]  # an async generator
    await node("rest", queue=queue)
    assert [event.type for event in heard] == ["added", "waiting", "active", "progress", "completed"]
    assert heard[3].fields["data"] == 7
    assert json.loads(heard[4].fields["returnvalue"])["by"] == "node"


# --- Settings --------------------------------------------------------------------------------------------------------


async def test_a_pause_by_either_holds_for_both(node: Node, engine: RedisQueue, queue: str) -> None:
    await node("pause", queue=queue)
    assert (await engine.settings(queue)).is_paused
    job = new_job(engine, queue)
    await engine.add([job])
    async with engine.attend("python", queues=[queue]):
        claim = await engine.claim(queues=[queue], names=["task"], limit=1, worker_id="python", lease_s=30)
        assert not claim.jobs
        await engine.configure(queue, QueueSettings(is_paused=False))
        assert not await node("isPaused", queue=queue)
        await engine.configure(queue, QueueSettings(is_paused=True))
        assert await node("isPaused", queue=queue)
        await node("resume", queue=queue)
        assert (await claim_one(engine, queue)).id == job.id


async def test_limits_are_the_same_for_both(node: Node, engine: RedisQueue, queue: str) -> None:
    await engine.configure(queue, QueueSettings(max_active=3, rate=RateLimit(max=7, per_s=1.5)))
    assert await node("limits", queue=queue) == {"concurrency": 3, "rate": {"max": 7, "duration": 1500}}
    await node("setLimits", queue=queue, concurrency=1, max=9, duration=250)
    assert await engine.settings(queue) == QueueSettings(max_active=1, rate=RateLimit(max=9, per_s=0.25))


async def test_nodes_active_jobs_count_towards_our_limit(node: Node, engine: RedisQueue, queue: str) -> None:
    await engine.configure(queue, QueueSettings(max_active=1))
    first = new_job(engine, queue, {"sleep_ms": 200})
    await engine.add([first])
    await node("work", queue=queue, opts={})
    await until_state(engine, first.id, queue, JobState.ACTIVE)
    await engine.add([new_job(engine, queue)])
    async with engine.attend("python", queues=[queue]):
        claim = await engine.claim(queues=[queue], names=["task"], limit=1, worker_id="python", lease_s=30)
        assert not claim.jobs
    await node("rest", queue=queue)


async def test_a_sleeping_python_worker_is_woken_by_node(node: Node, engine: RedisQueue, queue: str) -> None:
    async with engine.attend("python", queues=[queue]):
        changes = engine.changes
        assert not (await engine.claim(queues=[queue], names=["task"], limit=1, worker_id="python", lease_s=30)).jobs
        await node("add", queue=queue, name="task", data={}, opts={})
        await engine.wait_for_work([queue], since=changes, timeout=DEADLINE_S)
        assert (await claim_one(engine, queue)).name == "task"
