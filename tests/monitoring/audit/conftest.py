"""Audit logs over both stores."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, settings

from undercroft._core.clock import VirtualClock
from undercroft.monitoring import AuditLog, create_audit_log

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def hide(shown: Mapping[str, object]) -> Mapping[str, object]:
    """A redactor: the values of `password`, at any depth, and whatever has 4111 in it."""
    text = msgspec.json.encode({key: _hidden(key, value) for key, value in shown.items()}).decode()
    return msgspec.json.decode(text.replace("4111", "***"), type=dict[str, object])


def _hidden(key: str, value: object) -> object:
    if isinstance(value, dict):
        return {name: _hidden(name, inner) for name, inner in value.items()}
    return "***" if key == "password" else value


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "audit.db"


@pytest.fixture(params=["memory", "sqlite"])
async def log(request: pytest.FixtureRequest, path: Path, clock: VirtualClock) -> AsyncIterator[AuditLog]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{path}"
    async with create_audit_log(url, redact=hide, clock=clock) as log:
        yield log
