"""Our side of the tests: jobs, and a worker of a few lines on the engine itself."""

from __future__ import annotations

import itertools
import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from undercroft.queue._values import ClaimedJob, Completed, Failed, JobState, NewJob, Postponed
from undercroft.queue.redis import RedisQueue

NAMES = ("task", "parent", "child", "tick")
DEADLINE_S = 15.0
Outcome = Completed | Failed | Postponed
Handle = Callable[[ClaimedJob], Awaitable[Outcome]]
_numbers = itertools.count(1)


def new_job(engine: RedisQueue, queue: str, data: Any = None, **changes: Any) -> NewJob:
    """Return a job that is due now."""
    now = engine.time()
    values: dict[str, Any] = {
        "id": f"py-{next(_numbers)}",
        "name": "task",
        "queue": queue,
        "data": json.dumps({} if data is None else data).encode(),
        "attempts": 1,
        "backoff": None,
        "timeout_s": None,
        "priority": 0,
        "due_at": now,
        "created_at": now,
        "request_id": None,
        "carrier": None,
    }
    return NewJob(**{**values, **changes})


async def succeed(job: ClaimedJob) -> Completed:
    """Return what the run was given."""
    return Completed(result=json.dumps({"by": "python", "data": json.loads(job.data)}).encode())


async def work(
    engine: RedisQueue, queue: str, handle: Handle = succeed, *, count: int = 1, worker_id: str = "python"
) -> list[ClaimedJob]:
    """Run jobs one by one until `count` runs have ended, and return them as they were claimed."""
    done: list[ClaimedJob] = []
    with anyio.fail_after(DEADLINE_S):
        async with engine.attend(worker_id, queues=[queue]):
            while len(done) < count:
                job = await claim_one(engine, queue, worker_id)
                outcome = await handle(job)
                assert (await engine.finish(job, outcome)).is_recorded
                done.append(job)
    return done


async def claim_one(engine: RedisQueue, queue: str, worker_id: str = "python", *, lease_s: float = 30.0) -> ClaimedJob:
    """Wait for a job, and claim it."""
    while True:
        changes = engine.changes
        claim = await engine.claim(queues=[queue], names=NAMES, limit=1, worker_id=worker_id, lease_s=lease_s)
        if claim.jobs:
            return claim.jobs[0]
        left = 1.0 if claim.next_due_at is None else claim.next_due_at - engine.time()
        await engine.wait_for_work([queue], since=changes, timeout=min(1.0, max(0.001, left)))


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """Ask until the answer is true, and return it."""
    with anyio.fail_after(DEADLINE_S):
        while not (answer := await condition()):
            await anyio.sleep(0.01)
    return answer


async def until_state(engine: RedisQueue, job_id: str, queue: str, state: JobState) -> None:
    """Return when a job is in a state."""

    async def is_there() -> bool:
        job = await engine.get(job_id, queue=queue)
        return job is not None and job.state is state

    await until(is_there)
