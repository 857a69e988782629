"""undercroft in the kill drill: `ours.py fill URL JOBS`, `work URL LOG SECONDS`, `count URL`."""

from __future__ import annotations

import asyncio
import json
import sys

from note import note

from undercroft.queue import Job, create_queue, job

SLOTS = 4


def make_job(log: str, seconds: float) -> Job[[int], None]:
    @job("drill")
    async def drill(number: int) -> None:
        note(log, "start", number)
        await asyncio.sleep(seconds)
        note(log, "end", number)

    return drill


async def fill(url: str, jobs: str) -> None:
    drill = make_job("", 0)
    async with create_queue(url, jobs=[drill]) as queue:
        await queue.enqueue_many(drill, [{"number": number} for number in range(int(jobs))])


async def work(url: str, log: str, seconds: str) -> None:
    async with create_queue(url, jobs=[make_job(log, float(seconds))]) as queue:
        await queue.worker(concurrency=SLOTS).run()


async def count(url: str) -> None:
    async with create_queue(url) as queue:
        print(json.dumps({"completed": (await queue.counts(queue="default")).completed}))


if __name__ == "__main__":
    command, *args = sys.argv[1:]
    asyncio.run({"fill": fill, "work": work, "count": count}[command](*args))
