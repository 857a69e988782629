"""bullmq, the Python package; see `side.py`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from bullmq import Queue, Worker
from side import Hit, Payload, Producer, Side, main

SLOTS = 10
OPTIONS = {"removeOnComplete": True}


@asynccontextmanager
async def producer(url: str) -> AsyncIterator[Producer]:
    queue = Queue("noop", {"connection": url})

    async def one(payload: Payload) -> object:
        return await queue.add("noop", payload, OPTIONS)

    async def many(payloads: Sequence[Payload]) -> object:
        return await queue.addBulk([{"name": "noop", "data": each, "opts": OPTIONS} for each in payloads])

    yield Producer(one, many)
    await queue.close()


def worker_of(url: str, hit: Hit) -> Worker:
    async def noop(job: Any, token: str) -> None:
        hit(job.data)

    return Worker("noop", noop, {"connection": url, "concurrency": SLOTS})


async def consume(url: str, hit: Hit) -> None:
    worker_of(url, hit)
    await asyncio.Event().wait()


async def stop(url: str) -> float:
    ran = asyncio.Event()
    worker = worker_of(url, lambda _: ran.set())
    async with producer(url) as jobs:
        await jobs.one({})
        await ran.wait()
    await asyncio.sleep(1.3)
    start = time.perf_counter()
    await worker.close()
    return time.perf_counter() - start


main(Side(producer, consume, {"slots": SLOTS, "results": "not kept"}, stop=stop))
