"""What the tests of the guards share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from undercroft.ratelimit import RateLimits, create_rate_limits
from undercroft.testing import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def limits(clock: VirtualClock) -> AsyncIterator[RateLimits]:
    async with create_rate_limits("memory://", clock=clock) as limits:
        yield limits
