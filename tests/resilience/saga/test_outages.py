"""Sagas while their store is away: nothing is started twice, nothing is lost, and what was under way goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from tests.connections.redis._servers import RedisServer
from undercroft._core.url import Url
from undercroft.app._sagas import build_sagas, saga_jobs
from undercroft.queue import Queue, open_engine
from undercroft.resilience import Saga, SagaContext, SagaUnavailableError
from undercroft.testing.outages import OUTAGES, Outage, RedisOutages

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


@pytest.fixture
async def outages(shared_server: RedisServer) -> AsyncIterator[RedisOutages]:
    """Of a server that this module has for itself, empty."""
    async with RedisOutages("127.0.0.1", shared_server.port) as outages:
        yield outages


@pytest.mark.slow
@pytest.mark.parametrize("outage", OUTAGES)
async def test_saga_outlives_an_outage(outages: RedisOutages, outage: Outage) -> None:
    held, runs = anyio.Event(), Counter[str]()

    async def act(ctx: SagaContext[Any]) -> str:
        runs[ctx.idempotency_key] += 1
        if ctx.data == "under way" and ctx.step == "a":
            await held.wait()
        return ctx.step

    saga = Saga("order").step("a", act).step("b", act)
    engine = open_engine(Url.parse(outages.url, what="queue"), what="queue")
    sagas = build_sagas(engine, [saga])
    async with Queue(engine, jobs=saga_jobs(sagas)) as queue, queue.worker():
        before = await sagas.start(saga, "under way", id=f"{outage}-1")
        with anyio.fail_after(10):
            while not runs:
                await anyio.sleep(0.01)
        async with outages.during(outage):
            held.set()
            with pytest.raises(SagaUnavailableError):
                await sagas.start(saga, "new", id=f"{outage}-2")
        new = await sagas.start(saga, "new", id=f"{outage}-2")

        with anyio.fail_after(40):
            assert (await before.result("35s")).results == {"a": "a", "b": "b"}
            assert (await new.result("35s")).results == {"a": "a", "b": "b"}
    assert runs[f"{outage}-1:a"] <= 3, "run again, if nobody could record it"
    assert all(runs[f"{outage}-{rest}"] == 1 for rest in ("1:b", "2:a", "2:b"))
    assert {before.id, new.id} <= await _all_of(outages.url, saga)


async def _all_of(url: str, saga: Saga[Any]) -> set[str]:
    engine = open_engine(Url.parse(url, what="queue"), what="queue")
    async with Queue(engine):
        return {info.saga_id for info in await build_sagas(engine, [saga]).list()}
