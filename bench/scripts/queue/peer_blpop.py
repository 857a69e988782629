"""The least that a wake-up through Redis can cost: `RPUSH` here, `BLPOP` there, by redis-py; see `side.py`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from side import Hit, Payload, Producer, Side, main


@asynccontextmanager
async def producer(url: str) -> AsyncIterator[Producer]:
    async with Redis.from_url(url) as client:

        async def one(payload: Payload) -> object:
            return await client.rpush("noop", json.dumps(payload))

        yield Producer(one)


async def consume(url: str, hit: Hit) -> None:
    async with Redis.from_url(url) as client:
        while True:
            _, data = await client.blpop("noop")
            hit(json.loads(data))


main(Side(producer, consume, {"client": "redis-py"}))
