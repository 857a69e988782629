"""A registry and a directory of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from undercroft._core.clock import VirtualClock
from undercroft.monitoring import Registry

# A busy machine is no failure.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def registry(clock: VirtualClock) -> Registry:
    return Registry(clock=clock)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where processes share; attached by nobody yet."""
    return tmp_path / "metrics"
