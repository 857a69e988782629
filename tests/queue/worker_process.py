"""A worker in a process of its own, for tests that kill it: `python worker_process.py DB RUNS [LEASE] [CONCURRENCY]`.

Each run appends `job-id attempt` to the file RUNS when it starts.
"""

import asyncio
import os
import sys
from pathlib import Path

import anyio

from undercroft.queue import Job, create_queue, current_job, define_job


def note() -> None:
    with Path(sys.argv[2]).open("a") as runs:
        runs.write(f"{current_job().id} {current_job().attempt}\n")


async def quick() -> None:
    note()


async def short() -> None:
    note()
    await anyio.sleep(0.1)


async def hold_first() -> str:
    note()
    if current_job().attempt == 1:
        await anyio.sleep_forever()
    return "second run"


async def sleep(seconds: float) -> str:
    note()
    await anyio.sleep(seconds)
    return f"attempt {current_job().attempt}"


async def die() -> None:
    note()
    os._exit(9)


JOBS: list[Job[..., object]] = [
    define_job(name="quick", handler=quick),
    define_job(name="short", handler=short),
    define_job(name="hold", handler=hold_first, options={"timeout": None}),
    define_job(name="sleep", handler=sleep),
    define_job(name="die", handler=die),
]


async def main() -> None:
    lease = float(sys.argv[3]) if len(sys.argv) > 3 else 30.0
    concurrency = int(sys.argv[4]) if len(sys.argv) > 4 else 4
    async with create_queue(f"sqlite:///{sys.argv[1]}", jobs=JOBS) as queue:
        worker = queue.worker(concurrency=concurrency, lease=lease)
        print("up", flush=True)
        await worker.run()


if __name__ == "__main__":
    asyncio.run(main())
