from __future__ import annotations

import pytest

from undercroft._core.clock import VirtualClock
from undercroft.health import HealthChecks


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def health(clock: VirtualClock) -> HealthChecks:
    return HealthChecks(clock=clock)
