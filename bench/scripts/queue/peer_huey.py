"""huey on SQLite, with fsync; see `side.py`. It pops a job before it runs it: a killed worker loses the job."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from huey import SqliteHuey
from huey.consumer import Consumer
from side import Hit, Payload, Producer, Side, main

WORKERS = 1
"""The best of a sweep over 1, 2, 4 and 8 threads."""


def task_of(url: str, hit: Hit) -> tuple[SqliteHuey, Callable[[Payload], object]]:
    file = url.removeprefix("sqlite:///").partition("?")[0]
    huey = SqliteHuey("noop", filename=file, results=False, fsync=True)

    def noop(payload: Payload) -> None:
        hit(payload)

    return huey, huey.task()(noop)


def consumer_of(huey: SqliteHuey) -> Consumer:
    return huey.create_consumer(workers=WORKERS, worker_type="thread", periodic=False)


def producer_of(task: Callable[[Payload], object]) -> Producer:
    async def one(payload: Payload) -> object:
        return task(payload)

    return Producer(one)


@asynccontextmanager
async def producer(url: str) -> AsyncIterator[Producer]:
    _, task = task_of(url, lambda _: None)
    yield producer_of(task)


async def consume(url: str, hit: Hit) -> None:
    huey, _ = task_of(url, hit)
    consumer_of(huey).start()
    await asyncio.Event().wait()


@asynccontextmanager
async def together(url: str, hit: Hit) -> AsyncIterator[Producer]:
    huey, task = task_of(url, hit)
    consumer_of(huey).start()
    yield producer_of(task)


async def stop(url: str) -> float:
    ran = asyncio.Event()
    loop = asyncio.get_running_loop()
    huey, task = task_of(url, lambda _: loop.call_soon_threadsafe(ran.set))
    consumer = consumer_of(huey)
    consumer.start()
    task({})
    await ran.wait()
    await asyncio.sleep(1.3)
    start = time.perf_counter()
    consumer.stop(graceful=True)
    return time.perf_counter() - start


main(Side(producer, consume, {"threads": WORKERS, "fsync": True, "results": "not kept"}, together, stop))
