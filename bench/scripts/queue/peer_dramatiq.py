"""dramatiq on Redis; see `side.py`. Threads, without an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from side import Hit, Payload, Producer, Side, main

THREADS = 32


def actor_of(url: str, hit: Hit) -> dramatiq.Actor:
    broker = RedisBroker(url=url)
    dramatiq.set_broker(broker)
    return dramatiq.actor(hit, actor_name="noop", broker=broker)


@asynccontextmanager
async def producer(url: str) -> AsyncIterator[Producer]:
    actor = actor_of(url, lambda _: None)

    async def one(payload: Payload) -> object:
        return actor.send(payload)

    yield Producer(one)


async def consume(url: str, hit: Hit) -> None:
    actor = actor_of(url, hit)
    dramatiq.Worker(actor.broker, worker_threads=THREADS).start()
    await asyncio.Event().wait()


main(Side(producer, consume, {"threads": THREADS, "results": "none"}))
