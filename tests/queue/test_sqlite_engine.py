"""The SQLite engine keeps what every engine promises."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from undercroft._core.clock import VirtualClock
from undercroft.queue.sqlite import SqliteQueue
from undercroft.testing.conformance.queue import QueueEngineConformance


class TestSqliteQueue(QueueEngineConformance):
    @pytest.fixture
    async def engine(self, clock: VirtualClock, tmp_path: Path) -> AsyncIterator[SqliteQueue]:
        async with SqliteQueue(tmp_path / "queue.db", clock=clock) as engine:
            yield engine
