"""repid on Redis streams; see `side.py`.

`claim_interval=30`: without it repid never takes a killed worker's jobs back. Everything else is its default.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from repid import Repid, Router
from repid.connections.redis.message_broker import RedisServer
from side import Hit, Payload, Producer, Side, main

SLOTS = 100


def app_of(url: str, hit: Hit) -> tuple[Repid, RedisServer]:
    app, server, router = Repid(title="bench", version="1"), RedisServer(url, claim_interval=30), Router()

    @router.actor
    async def noop(p: dict) -> None:
        hit(p)

    app.servers.register_server("default", server, is_default=True)
    app.include_router(router)
    return app, server


@asynccontextmanager
async def producer(url: str) -> AsyncIterator[Producer]:
    app, server = app_of(url, lambda _: None)

    async def one(payload: Payload) -> object:
        return await app.send_message_json(channel="default", payload={"p": payload}, headers={"topic": "noop"})

    async with server.connection():
        yield Producer(one)


async def consume(url: str, hit: Hit) -> None:
    app, server = app_of(url, hit)
    async with server.connection():
        await app.run_worker(tasks_limit=SLOTS)


main(Side(producer, consume, {"slots": SLOTS, "claim_interval": 30, "batch_size": 10, "results": "none"}))
