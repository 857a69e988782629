"""bullmq's Python package in the kill drill: `peer_bullmq.py fill URL JOBS`, `work URL LOG SECONDS`, `count URL`."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from bullmq import Queue, Worker
from note import note

SLOTS = 4


async def fill(url: str, jobs: str) -> None:
    queue = Queue("drill", {"connection": url})
    await queue.addBulk([{"name": "drill", "data": {"number": number}, "opts": {}} for number in range(int(jobs))])
    await queue.close()


async def work(url: str, log: str, seconds: str) -> None:
    async def drill(job: Any, token: str) -> None:
        note(log, "start", job.data["number"])
        await asyncio.sleep(float(seconds))
        note(log, "end", job.data["number"])

    worker = Worker("drill", drill, {"connection": url, "concurrency": SLOTS})
    await asyncio.Event().wait()
    await worker.close()


async def count(url: str) -> None:
    queue = Queue("drill", {"connection": url})
    print(json.dumps({"completed": (await queue.getJobCounts("completed"))["completed"]}))
    await queue.close()


if __name__ == "__main__":
    command, *args = sys.argv[1:]
    asyncio.run({"fill": fill, "work": work, "count": count}[command](*args))
