"""undercroft, on Redis and on SQLite; see `side.py`. `URL` is what `create_queue` takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from side import Hit, Payload, Producer, Side, main

from undercroft.queue import Job, Queue, create_queue, job

SLOTS = 100


def make_job(hit: Hit) -> Job[[int, str, str, str, int], None]:
    @job("noop", keep_completed=0)
    async def noop(user_id: int, email: str, template: str, lang: str, t: int) -> None:
        hit({"t": t})

    return noop


def producer_of(queue: Queue, noop: Job[[int, str, str, str, int], None]) -> Producer:
    async def one(payload: Payload) -> object:
        return await queue.enqueue(noop, payload)

    async def many(payloads: Sequence[Payload]) -> object:
        return await queue.enqueue_many(noop, payloads)

    return Producer(one, many)


@asynccontextmanager
async def producer(url: str) -> AsyncIterator[Producer]:
    noop = make_job(lambda _: None)
    async with create_queue(url, jobs=[noop]) as queue:
        yield producer_of(queue, noop)


async def consume(url: str, hit: Hit) -> None:
    async with create_queue(url, jobs=[make_job(hit)]) as queue:
        await queue.worker(concurrency=SLOTS).run()


@asynccontextmanager
async def together(url: str, hit: Hit) -> AsyncIterator[Producer]:
    noop = make_job(hit)
    async with create_queue(url, jobs=[noop]) as queue, queue.worker(concurrency=SLOTS):
        yield producer_of(queue, noop)


async def stop(url: str) -> float:
    ran = asyncio.Event()
    noop = make_job(lambda _: ran.set())
    async with create_queue(url, jobs=[noop]) as queue, asyncio.TaskGroup() as tasks:
        worker = queue.worker(concurrency=SLOTS)
        running = tasks.create_task(worker.run())
        await queue.enqueue(noop, 1, "", "", "", 0)
        await ran.wait()
        await asyncio.sleep(1.3)  # idle; not a multiple of the intervals at which it looks after things
        start = time.perf_counter()
        await worker.stop()
        await running
        return time.perf_counter() - start


if __name__ == "__main__":
    settings: dict[str, object] = {"slots": SLOTS, "results": "not kept", "retries, leases, heartbeats": "on, defaults"}
    main(Side(producer, consume, settings, together, stop))
