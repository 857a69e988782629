"""pgqueuer on PostgreSQL; see `side.py`. It takes 500 jobs at a time, and buffers what it completed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
from pgqueuer import PgQueuer, Queries
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from side import Hit, Payload, Producer, Side, main

BATCH = 500


@asynccontextmanager
async def producer(url: str) -> AsyncIterator[Producer]:
    queries = Queries(AsyncpgDriver(await asyncpg.connect(url)))
    await queries.install()

    async def one(payload: Payload) -> object:
        return await queries.enqueue("noop", json.dumps(payload).encode())

    async def many(payloads: Sequence[Payload]) -> object:
        count = len(payloads)
        return await queries.enqueue(["noop"] * count, [json.dumps(each).encode() for each in payloads], [0] * count)

    yield Producer(one, many)


async def consume(url: str, hit: Hit) -> None:
    worker = PgQueuer(AsyncpgDriver(await asyncpg.connect(url)))

    @worker.entrypoint("noop")
    async def noop(job: Job) -> None:
        hit(json.loads(job.payload or b"{}"))

    await worker.run(batch_size=BATCH)


main(Side(producer, consume, {"batch_size": BATCH, "results": "none"}))
