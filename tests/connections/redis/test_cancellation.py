"""Ten thousand calls cancelled at random points: no connection is lost, no answer goes to somebody else."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest

from undercroft.connections.redis import RedisConnection, Script
from undercroft.testing.fault_proxy import FaultProxy

pytestmark = [pytest.mark.anyio, pytest.mark.redis]
ECHO = Script("return ARGV[1]")
CANCELS = 10_000
TASKS = 16


async def echo(client: Any, value: bytes) -> list[bytes]:
    return [await client.echo(value)]


async def pipelined(client: Any, value: bytes) -> list[bytes]:
    pipeline = client.pipeline(transaction=False)
    for _ in range(3):
        pipeline.echo(value)
    answers: list[bytes] = await pipeline.execute()
    return answers


async def in_transaction(client: Any, value: bytes) -> list[bytes]:
    pipeline = client.pipeline(transaction=True)
    pipeline.echo(value)
    answers: list[bytes] = await pipeline.execute()
    return answers


async def blocked(client: Any, value: bytes) -> list[bytes]:
    answer = await client.blpop([b"nobody:" + value], timeout=0.01)
    return [value] if answer is None else answer


WAYS: tuple[Callable[[Any, bytes], Awaitable[list[bytes]]], ...] = (echo, echo, pipelined, in_transaction, blocked)


class Fuzz:
    """Starts calls, cancels most of them at a random moment, and compares every answer with what was sent."""

    def __init__(self, connection: RedisConnection, seed: int) -> None:
        self._connection = connection
        self._random = random.Random(seed)
        self.cancelled = self.answered = self.crossed = 0

    async def run(self, name: int, *, cancels: int) -> None:
        while self.cancelled < cancels:
            value = b"%d:%d" % (name, self.cancelled + self.answered)
            await self._one(value)

    async def _one(self, value: bytes) -> None:
        way = self._random.choice(WAYS)
        call = asyncio.ensure_future(way(self._connection.client, value))
        if self._random.random() < 0.7:
            await self._some_time()
            call.cancel()
            if self._random.random() < 0.2:
                call.cancel()  # twice, as a second deadline does
        try:
            answers = await call
        except asyncio.CancelledError:
            self.cancelled += 1
            return
        self.answered += 1
        self.crossed += any(answer != value for answer in answers)

    async def _some_time(self) -> None:
        if self._random.random() < 0.3:
            await asyncio.sleep(self._random.uniform(0, 0.01))
        else:
            for _ in range(self._random.randrange(20)):
                await asyncio.sleep(0)


@pytest.mark.timeout(60)
async def test_ten_thousand_cancels_leak_nothing_and_cross_nothing(url: str) -> None:
    started = time.monotonic()
    async with RedisConnection(f"{url}?pool_size=8&client_name=fuzz") as connection:
        fuzz = Fuzz(connection, seed=20261120)
        async with anyio.create_task_group() as tasks:
            for name in range(TASKS):
                tasks.start_soon(lambda name=name: fuzz.run(name, cancels=CANCELS))

        status = connection.pool_status
        client: Any = connection.client
        after = await asyncio.gather(*(client.echo(b"%d" % number) for number in range(100)))

        assert fuzz.cancelled >= CANCELS
        assert fuzz.answered >= CANCELS / 5
        assert fuzz.crossed == 0
        assert (status.in_use, status.waiting, status.oldest_use_s) == (0, 0, None)
        assert after == [b"%d" % number for number in range(100)]
        assert len(client.connection_pool._available_connections) <= 8
        assert sum(other["name"] == "fuzz" for other in await client.client_list()) <= 8
    assert time.monotonic() - started < 30


async def test_scopes_that_cancel_again_and_again_leak_nothing(url: str) -> None:
    async with RedisConnection(f"{url}?pool_size=2") as connection:
        client: Any = connection.client
        for attempt in range(300):
            with anyio.move_on_after(0.0002 * (attempt % 10)):
                await asyncio.gather(*(client.echo(b"x") for _ in range(5)))

        assert (connection.pool_status.in_use, connection.pool_status.waiting) == (0, 0)
        assert await connection.run_script(ECHO, [], ["y"]) == b"y"


async def test_late_answer_of_a_cancelled_call_reaches_nobody(url: str) -> None:
    host, port = url.removeprefix("redis://").partition("/")[0].split(":")
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(FaultProxy(host, int(port)))
        url = proxy.url("redis://{host}:{port}?pool_size=1")
        connection = await stack.enter_async_context(RedisConnection(url))
        client: Any = connection.client
        await connection.ping()
        proxy.delay(0.1)
        with anyio.move_on_after(0.05) as scope:
            await client.echo(b"first")
        proxy.heal()

        assert scope.cancelled_caught
        assert await client.echo(b"second") == b"second"
        assert proxy.counts.accepted == 2
