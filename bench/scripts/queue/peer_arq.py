"""arq on Redis; see `side.py`. It looks for jobs every 10 ms here, by default every half second."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from arq import create_pool, func
from arq.connections import RedisSettings
from arq.worker import Worker
from side import Hit, Payload, Producer, Side, main

SLOTS = 100
POLL_S = 0.01


@asynccontextmanager
async def producer(url: str) -> AsyncIterator[Producer]:
    pool = await create_pool(RedisSettings.from_dsn(url))

    async def one(payload: Payload) -> object:
        return await pool.enqueue_job("noop", payload)

    yield Producer(one)
    await pool.aclose()


async def consume(url: str, hit: Hit) -> None:
    async def noop(context: Any, payload: Payload) -> None:
        hit(payload)

    settings = RedisSettings.from_dsn(url)
    functions = [func(noop, name="noop", keep_result=0)]
    await Worker(functions, redis_settings=settings, max_jobs=SLOTS, poll_delay=POLL_S).async_run()


main(Side(producer, consume, {"slots": SLOTS, "poll_delay": POLL_S, "results": "not kept"}))
