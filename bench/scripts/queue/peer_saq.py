"""saq on Redis; see `side.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from saq import Queue, Worker
from side import Hit, Payload, Producer, Side, main

SLOTS = 50


@asynccontextmanager
async def producer(url: str) -> AsyncIterator[Producer]:
    queue = Queue.from_url(url)
    await queue.connect()

    async def one(payload: Payload) -> object:
        return await queue.enqueue("noop", ttl=-1, p=payload)  # its result is not kept

    yield Producer(one)
    await queue.disconnect()


async def consume(url: str, hit: Hit) -> None:
    async def noop(context: Any, *, p: Payload) -> None:
        hit(p)

    queue = Queue.from_url(url)
    await queue.connect()
    await Worker(queue, [("noop", noop)], concurrency=SLOTS).start()


main(Side(producer, consume, {"slots": SLOTS, "results": "not kept"}))
