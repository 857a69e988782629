"""The SQLite engine keeps what every engine promises."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from undercroft._core.clock import VirtualClock
from undercroft.queue.sqlite import SqliteQueue
from undercroft.testing.conformance.queue import NewJobs, QueueEngineConformance


class TestSqliteQueue(QueueEngineConformance):
    @pytest.fixture
    async def engine(self, clock: VirtualClock, tmp_path: Path) -> AsyncIterator[SqliteQueue]:
        async with SqliteQueue(tmp_path / "queue.db", clock=clock) as engine:
            yield engine

    async def test_many_tasks_at_once_on_one_connection(self, engine: SqliteQueue, jobs: NewJobs) -> None:
        """Cursors freed in another thread than the connection's made this fail with SQLITE_MISUSE."""

        async def add() -> None:
            for _ in range(40):
                await engine.add([jobs()])
                await engine.counts()

        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(add)

        assert (await engine.counts()).waiting == 4000
