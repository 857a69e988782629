"""taskiq on Redis; see `side.py`. `$BENCH_BROKER` is `list` or `stream`; a list has no acknowledgement."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from side import Hit, Producer, Side, main
from taskiq import AsyncBroker, AsyncTaskiqDecoratedTask
from taskiq.api import run_receiver_task
from taskiq_redis import ListQueueBroker, RedisStreamBroker

BROKER = os.environ["BENCH_BROKER"]
SLOTS = {"list": 50, "stream": 10}[BROKER]


def task_of(url: str, hit: Hit) -> tuple[AsyncBroker, AsyncTaskiqDecoratedTask]:
    broker = {"list": ListQueueBroker, "stream": RedisStreamBroker}[BROKER](url)

    @broker.task(task_name="noop")
    async def noop(p: dict) -> None:
        hit(p)

    return broker, noop


@asynccontextmanager
async def producer(url: str) -> AsyncIterator[Producer]:
    broker, noop = task_of(url, lambda _: None)
    await broker.startup()
    yield Producer(noop.kiq)
    await broker.shutdown()


async def consume(url: str, hit: Hit) -> None:
    broker, _ = task_of(url, hit)
    broker.is_worker_process = True
    await run_receiver_task(broker, max_async_tasks=SLOTS, run_startup=True)


main(Side(producer, consume, {"broker": BROKER, "slots": SLOTS, "results": "none"}))
