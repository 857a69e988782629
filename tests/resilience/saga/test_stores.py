"""Every store of sagas keeps what sagas rely on: one process's, and the queue's on each of its engines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.connections.redis._servers import Cluster, RedisServer
from undercroft._core.url import Url
from undercroft.app._sagas import SAGA_QUEUE, QueueSagaStore
from undercroft.connections.redis import RedisConnection
from undercroft.queue import Engine, JobState, open_engine
from undercroft.queue._values import JobFilter
from undercroft.resilience import MemorySagaStore
from undercroft.testing.conformance.saga import Jobs, SagaStoreConformance


class TestMemorySagaStore(SagaStoreConformance):
    @pytest.fixture
    def store(self) -> MemorySagaStore:
        return MemorySagaStore()

    @pytest.fixture
    def jobs(self, store: MemorySagaStore) -> Jobs:
        async def jobs() -> list[str]:
            return [job_id for _, job_id in store.jobs]

        return jobs


class OnAnEngine(SagaStoreConformance):
    """The queue's ledger."""

    @pytest.fixture
    def store(self, engine: Engine) -> QueueSagaStore:
        return QueueSagaStore(engine)

    @pytest.fixture
    def jobs(self, engine: Engine) -> Jobs:
        async def jobs() -> list[str]:
            page = await engine.list_jobs(JobFilter(queue=SAGA_QUEUE, state=JobState.WAITING), limit=100)
            return [job.id for job in page.jobs]

        return jobs


class TestOnMemory(OnAnEngine):
    @pytest.fixture
    async def engine(self) -> AsyncIterator[Engine]:
        async with _opened("memory://") as engine:
            yield engine


class TestOnSqlite(OnAnEngine):
    @pytest.fixture
    async def engine(self, tmp_path: Path) -> AsyncIterator[Engine]:
        async with _opened(f"sqlite:///{tmp_path}/queue.db") as engine:
            yield engine


@pytest.mark.redis
class TestOnRedis(OnAnEngine):
    @pytest.fixture
    async def engine(self, shared_server: RedisServer) -> AsyncIterator[Engine]:
        async for engine in _emptied(shared_server.url):
            yield engine


@pytest.mark.redis
class TestOnRedisCluster(OnAnEngine):
    @pytest.fixture
    async def engine(self, shared_cluster: Cluster) -> AsyncIterator[Engine]:
        async for engine in _emptied(shared_cluster.url):
            yield engine


def _opened(url: str) -> Engine:
    return open_engine(Url.parse(url, what="queue"), what="queue")


async def _emptied(url: str) -> AsyncIterator[Engine]:
    async with RedisConnection(url) as connection:
        await connection.client.flushall()
    async with _opened(url) as engine:  # type: ignore[attr-defined]  # the protocol's own
        yield engine
