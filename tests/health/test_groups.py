"""Liveness, readiness and startup are different questions."""

from __future__ import annotations

import pytest

from undercroft.health import (
    HealthCheck,
    HealthCheckError,
    HealthChecks,
    HealthGroup,
    HealthGroupError,
    HealthStatus,
    health_check,
    memory_health_check,
)

pytestmark = pytest.mark.anyio


class Counted:
    def __init__(self, *words: object) -> None:
        self.words = list(words)
        self.calls = 0

    async def __call__(self) -> object:
        self.calls += 1
        return self.words.pop(0) if len(self.words) > 1 else self.words[0]


async def names(health: HealthChecks, group: str | None) -> list[str]:
    return list((await health.report(group)).checks)


async def test_each_group_has_its_own_checks_and_the_whole_has_all(health: HealthChecks) -> None:
    health.register("ready", lambda: True)
    health.register("live", lambda: True, groups="liveness", local=True)
    health.register("both", lambda: True, groups=("readiness", "liveness"), local=True)
    health.register("started", lambda: True, groups="startup")
    await health.run("startup")
    assert await names(health, "liveness") == ["live", "both"]
    assert await names(health, "readiness") == ["ready", "both"]
    assert await names(health, "startup") == ["started"]
    assert await names(health, None) == ["ready", "live", "both", "started"]


def test_liveness_refuses_what_may_depend_on_others(health: HealthChecks) -> None:
    with pytest.raises(HealthGroupError, match=r"UC1003 health check 'database'(.|\n)*register it for readiness"):
        health.register("database", lambda: True, groups=("readiness", "liveness"))
    with pytest.raises(HealthGroupError):
        health_check("database", groups="liveness")(lambda: True)
    with pytest.raises(HealthGroupError):
        HealthCheck(name="database", function=lambda: True, groups=(HealthGroup.LIVENESS,))
    assert health.names == ()


def test_a_local_definition_may_be_moved_to_liveness_and_another_may_not(health: HealthChecks) -> None:
    health.register("memory", memory_health_check, groups="liveness")
    with pytest.raises(HealthGroupError):
        health.register("other", HealthCheck(name="other", function=lambda: True), groups="liveness")
    assert health.names == ("memory",)


def test_an_unknown_group_is_refused_with_near_names(health: HealthChecks) -> None:
    with pytest.raises(HealthCheckError, match=r"no group 'readyness'(.|\n)*near: readiness"):
        health.register("it", lambda: True, groups="readyness")
    with pytest.raises(HealthCheckError, match="in no group"):
        health.register("it", lambda: True, groups=())


async def test_a_report_of_an_unknown_group_is_refused(health: HealthChecks) -> None:
    with pytest.raises(HealthCheckError, match=r"near: liveness"):
        await health.report("livenes")


async def test_an_unhealthy_local_check_makes_liveness_unhealthy(health: HealthChecks) -> None:
    health.register("loop", lambda: False, groups="liveness", local=True)
    assert (await health.report("liveness")).status is HealthStatus.UNHEALTHY
    assert (await health.report("readiness")).status is HealthStatus.HEALTHY


async def test_startup_is_asked_until_it_has_passed_and_never_again(health: HealthChecks) -> None:
    warm = Counted(False, False, True, False)
    health.register("warm", warm, groups="startup")  # type: ignore[arg-type]
    assert not health.has_started
    for expected in (False, False, True, True):
        await health.run("startup")
        assert health.has_started is expected
    assert warm.calls == 3
    assert (await health.run()).checks["warm"].status is HealthStatus.HEALTHY
    assert warm.calls == 3


async def test_a_check_for_startup_counts_for_readiness_until_it_has_passed(health: HealthChecks) -> None:
    warm = Counted(False, True)
    health.register("warm", warm, groups="startup")  # type: ignore[arg-type]
    assert not (await health.run("readiness")).is_ready
    assert (await health.run("readiness")).is_ready
    assert await names(health, "readiness") == []
    assert warm.calls == 2


async def test_a_check_for_startup_and_readiness_goes_on_for_readiness_alone(health: HealthChecks) -> None:
    it = Counted(True, False)
    health.register("it", it, groups=("startup", "readiness"))  # type: ignore[arg-type]
    assert (await health.run("startup")).is_ready
    assert not (await health.run("readiness")).is_ready
    assert (health.has_started, it.calls) == (True, 2)
    await health.run("startup")
    assert it.calls == 2


async def test_what_is_not_critical_does_not_hold_the_start(health: HealthChecks) -> None:
    health.register("warm", lambda: False, groups="startup", critical=False)
    health.register("tables", Counted(False, True), groups="startup")  # type: ignore[arg-type]
    await health.run("startup")
    assert not health.has_started
    await health.run("startup")
    assert health.has_started


def test_without_checks_for_it_startup_is_over_at_once(health: HealthChecks) -> None:
    health.register("it", lambda: False)
    assert health.has_started


@pytest.mark.parametrize(("degraded_status", "is_ready"), [(200, True), (503, False)])
async def test_what_degraded_means_to_a_load_balancer_is_configurable(degraded_status: int, is_ready: bool) -> None:
    health = HealthChecks(degraded_status=degraded_status)
    health.register("search", lambda: False, critical=False)
    report = await health.run()
    assert (report.status, report.http_status, report.is_ready) == ("degraded", degraded_status, is_ready)


@pytest.mark.parametrize("status", [20, 100, 999])
def test_a_degraded_status_that_is_none_is_refused(status: int) -> None:
    with pytest.raises(HealthCheckError, match="no final HTTP status"):
        HealthChecks(degraded_status=status)
