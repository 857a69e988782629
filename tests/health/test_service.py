"""The checks as one service object."""

from __future__ import annotations

import pytest

from undercroft._core.bound import bind
from undercroft._core.errors import NotBoundError
from undercroft.health import HealthChecks, HealthCheckService, HealthStatus

pytestmark = pytest.mark.anyio


async def test_the_service_asks_the_checks_it_was_given(health: HealthChecks) -> None:
    service = HealthCheckService(health)
    service.register("database", lambda: False, timeout="1s")
    service.register("loop", lambda: True, groups="liveness", local=True)
    service.register("tables", lambda: True, groups="startup")
    assert (await service.check_startup()).status is HealthStatus.HEALTHY
    assert (await service.check_liveness()).status is HealthStatus.HEALTHY
    assert (await service.check_readiness()).http_status == 503
    assert list((await service.check_health()).checks) == ["database", "loop", "tables"]
    assert service.remove("database")
    assert (await service.check_readiness()).is_ready


class Source:
    def __init__(self, health: HealthChecks) -> None:
        self.health = health

    def get_part(self, name: str) -> object:
        return getattr(self, name)


async def test_without_checks_it_asks_those_of_the_bound_infra(health: HealthChecks) -> None:
    service = HealthCheckService()
    with pytest.raises(NotBoundError):
        service.register("it", lambda: True)
    with bind(Source(health)):
        service.register("it", lambda: True)
        assert (await service.check_health()).status is HealthStatus.HEALTHY
    assert health.names == ("it",)
