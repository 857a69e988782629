"""Jobs a second through the SQLite queue: `sqlite_queue_undercroft.py drain|enqueue full|normal`."""

import asyncio
import json
import os
import sys
import tempfile
import time

from undercroft.queue import create_queue, job

WORK, SYNCHRONOUS = sys.argv[1:]
JOBS = 300 if os.environ.get("BENCH_QUICK") else 10_000
TASKS = 100
PAYLOAD = {"user_id": 100_000, "email": "someone@example.com", "template": "welcome", "lang": "en"}
runs: list[float] = []
all_ran = asyncio.Event()


@job("noop")
async def noop(user_id: int, email: str, template: str, lang: str) -> None:
    runs.append(time.perf_counter())
    if len(runs) == JOBS:
        all_ran.set()


async def main() -> float:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/queue.db?synchronous={SYNCHRONOUS}"
        async with create_queue(url, jobs=[noop]) as queue:
            start = time.perf_counter()
            async with asyncio.TaskGroup() as tasks:
                for _ in range(TASKS):
                    tasks.create_task(enqueue(queue))
            if WORK == "enqueue":
                return JOBS / (time.perf_counter() - start)
            async with queue.worker(concurrency=100):
                await all_ran.wait()
            return (JOBS - 1) / (runs[-1] - runs[0])


async def enqueue(queue) -> None:  # type: ignore[no-untyped-def]
    for _ in range(JOBS // TASKS):
        await queue.enqueue(noop, PAYLOAD)


settings = {"jobs": JOBS, "synchronous": SYNCHRONOUS, "slots": 100, "processes": 1, "log lines": "warnings only"}
print(json.dumps({"value": asyncio.run(main()), "settings": settings}))
