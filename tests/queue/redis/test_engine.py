"""The Redis engine keeps what every engine promises, on one server and on a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.connections.redis._servers import Cluster
from undercroft._core.clock import VirtualClock
from undercroft._core.url import Url
from undercroft.connections.redis import RedisConnection
from undercroft.queue.redis import RedisQueue
from undercroft.testing.conformance.queue import QueueEngineConformance

pytestmark = pytest.mark.redis
PassTime = Callable[[float], Awaitable[None]]


class TestRedisQueue(QueueEngineConformance):
    @pytest.fixture
    async def engine(self, url: str, clock: VirtualClock) -> AsyncIterator[RedisQueue]:
        async with RedisQueue.from_url(Url.parse(url), clock=clock) as engine:
            yield engine

    @pytest.fixture
    async def pass_time(self, url: str, clock: VirtualClock) -> AsyncIterator[PassTime]:
        async with RedisConnection(url) as connection:
            yield passing(clock, connection)


class TestRedisClusterQueue(QueueEngineConformance):
    @pytest.fixture
    async def connection(self, shared_cluster: Cluster) -> AsyncIterator[RedisConnection]:
        async with RedisConnection(shared_cluster.url) as connection:
            await connection.client.flushall()
            yield connection

    @pytest.fixture
    async def engine(
        self, shared_cluster: Cluster, connection: RedisConnection, clock: VirtualClock
    ) -> AsyncIterator[RedisQueue]:
        async with RedisQueue.from_url(Url.parse(shared_cluster.url), clock=clock) as engine:
            yield engine

    @pytest.fixture
    def pass_time(self, connection: RedisConnection, clock: VirtualClock) -> PassTime:
        return passing(clock, connection)


def passing(clock: VirtualClock, connection: RedisConnection) -> PassTime:
    """Let time pass for the clock, and for what the server counts down."""
    client: Any = connection.client

    async def pass_time(seconds: float) -> None:
        await clock.advance(seconds)
        async for key in client.scan_iter(count=1000):
            if b":uc:worker:" in key:
                continue  # the suite's workers are processes that live on; a key of theirs lasts for five seconds
            left_ms = await client.pttl(key)
            if left_ms >= 0:
                await client.pexpire(key, max(0, left_ms - int(seconds * 1000)))

    return pass_time
