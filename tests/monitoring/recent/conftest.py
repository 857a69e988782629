"""A store on a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from undercroft._core.clock import VirtualClock
from undercroft.monitoring import RecentStore


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def path(home: Path) -> Path:
    return home / "recent.db"


@pytest.fixture
async def store(path: Path, clock: VirtualClock) -> AsyncIterator[RecentStore]:
    async with RecentStore(path, clock=clock) as store:
        yield store
