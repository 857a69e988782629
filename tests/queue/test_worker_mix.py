"""Handlers of every kind, cancelled, timed out and stopped at random: each job ends, and nothing is left behind."""

import asyncio
import random
import time
from collections import Counter
from typing import Any

import anyio
import pytest

from undercroft.queue import Discard, JobState, Queue, RetryLater, define_job
from undercroft.queue._worker._worker import Worker
from undercroft.queue.memory import MemoryQueue

pytestmark = pytest.mark.anyio
JOBS = 150


class Handlers:
    """Ways in which a handler may take what happens to it."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self.ways = [self.plain, self.swallows, self.shields, self.cancels_itself, self.times_out, self.threads]
        self.ways += [self.groups, self.raises, self.says]

    async def run(self, way: int) -> str:
        await self.ways[way]()
        return "done"

    async def plain(self) -> None:
        await asyncio.sleep(self._draw.random() * 0.02)

    async def swallows(self) -> None:
        try:
            await asyncio.sleep(self._draw.random() * 0.05)
        except asyncio.CancelledError:
            await asyncio.sleep(0.001)

    async def shields(self) -> None:
        with anyio.CancelScope(shield=True):
            await asyncio.sleep(self._draw.random() * 0.03)
        await asyncio.sleep(0.001)

    async def cancels_itself(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        if self._draw.random() < 0.5:
            await asyncio.sleep(0)

    async def times_out(self) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.002):
                await asyncio.sleep(0.01)

    async def threads(self) -> None:
        await anyio.to_thread.run_sync(time.sleep, self._draw.random() * 0.01)

    async def groups(self) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(asyncio.sleep, 0.004)
            group.start_soon(asyncio.sleep, self._draw.random() * 0.02)

    async def raises(self) -> None:
        raise asyncio.CancelledError

    async def says(self) -> None:
        raise RetryLater(0.001) if self._draw.random() < 0.5 else Discard("no need")


async def work_a_while(worker: Worker, draw: random.Random) -> None:
    """Run a worker and end it in one of three ways."""
    while_s, way = draw.random() * 0.05, draw.randrange(3)
    if way == 0:
        async with worker:
            await asyncio.sleep(while_s)
    elif way == 1:
        task = asyncio.create_task(worker.run())
        await asyncio.sleep(while_s)
        task.cancel()
        await asyncio.wait([task])
    else:
        with anyio.move_on_after(while_s):
            await worker.run()


@pytest.mark.parametrize("seed", range(6))
async def test_every_job_ends_and_nothing_is_left_behind(seed: int) -> None:
    draw = random.Random(seed)
    handlers = Handlers(draw)
    options: Any = {"timeout": 0.02, "attempts": 2, "backoff": 0.001}
    job = define_job(name="x", handler=handlers.run, options=options)
    async with Queue(MemoryQueue(), [job]) as queue:
        handles = [await queue.enqueue(job, draw.randrange(len(handlers.ways))) for _ in range(JOBS)]

        async def cancel_some() -> None:
            while True:
                await asyncio.sleep(0.003)
                await queue._engine.cancel(draw.choice(handles).id)

        async with anyio.create_task_group() as group:
            group.start_soon(cancel_some)
            with anyio.fail_after(40):
                while (left := await queue.counts()).waiting + left.delayed:
                    worker = queue.worker(
                        concurrency=draw.choice([1, 3, 20]),
                        lease=draw.choice([0.06, 30]),
                        grace=draw.choice([0, 0.01, 1]),
                    )
                    await work_a_while(worker, draw)
                    assert (worker.active, (await queue.counts()).active) == (0, 0)
            group.cancel_scope.cancel()
        states = Counter([await handle.state() for handle in handles])

    assert states[JobState.COMPLETED] + states[JobState.FAILED] == JOBS
    assert states[JobState.COMPLETED] > JOBS / 4
