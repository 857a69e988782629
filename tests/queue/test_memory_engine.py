"""The memory engine keeps every promise of the queue's engines."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from undercroft._core.clock import VirtualClock
from undercroft.queue.memory import MemoryQueue
from undercroft.testing.conformance.queue import QueueEngineConformance

pytestmark = pytest.mark.anyio


class TestMemoryEngine(QueueEngineConformance):
    @pytest.fixture
    async def engine(self, clock: VirtualClock) -> AsyncIterator[MemoryQueue]:
        async with MemoryQueue(clock=clock) as engine:
            yield engine
