"""The same through what users hold: `Queue` and its worker."""

from __future__ import annotations

import anyio
import pytest

from tests.queue.interop._node import Node
from tests.queue.interop._python import DEADLINE_S, until
from undercroft.queue import Backoff, Queue, define_job
from undercroft.queue._options import DefinitionOptions
from undercroft.queue.redis import RedisQueue

pytestmark = pytest.mark.anyio
seen: list[tuple[int, str]] = []


async def greet(user_id: int, lang: str = "en") -> dict[str, object]:
    """The handler of these tests; fails its first run for user 13."""
    seen.append((user_id, lang))
    if user_id == 13 and seen.count((user_id, lang)) == 1:
        raise ValueError("not yet")
    return {"greeted": user_id}


@pytest.fixture
def opened(engine: RedisQueue) -> Queue:
    """A queue that knows one job, on the engine that is open."""
    seen.clear()
    options: DefinitionOptions = {"retries": 2, "backoff": Backoff.fixed("10ms")}
    return Queue(engine, [define_job(name="task", handler=greet, options=options)])


async def test_node_enqueues_for_our_worker(node: Node, opened: Queue, queue: str) -> None:
    added = await node("add", queue=queue, name="task", data={"user_id": 7, "lang": "de"}, opts={})
    with anyio.fail_after(DEADLINE_S):
        assert await opened.worker(queues=[queue]).drain() == 1
    assert seen == [(7, "de")]
    assert (await node("job", queue=queue, id=added["id"]))["returnvalue"] == {"greeted": 7}


async def test_our_retries_follow_nodes_attempts(node: Node, opened: Queue, queue: str) -> None:
    opts = {"attempts": 2, "backoff": {"type": "fixed", "delay": 10}}
    added = await node("add", queue=queue, name="task", data={"user_id": 13}, opts=opts)
    with anyio.fail_after(DEADLINE_S):
        async with opened.worker(queues=[queue]):
            await until(lambda: is_completed(node, queue, added["id"]))
    shown = await node("job", queue=queue, id=added["id"])
    assert (shown["attemptsMade"], shown["failedReason"]) == (2, "not yet")


async def is_completed(node: Node, queue: str, job_id: str) -> bool:
    shown = await node("job", queue=queue, id=job_id)
    return bool(shown["state"] == "completed")


async def test_our_handle_gets_the_result_of_a_node_worker(node: Node, opened: Queue, queue: str) -> None:
    await node("work", queue=queue, opts={})
    handle = await opened.enqueue("task", {"user_id": 7}, queue=queue)
    result = await handle.result(timeout=DEADLINE_S)
    await node("rest", queue=queue)
    assert result == {"by": "node", "name": "task", "data": {"user_id": 7, "lang": "en"}, "attempt": 0}
