from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, assert_type

from undercroft.health import (
    HealthBeacon,
    HealthChange,
    HealthCheck,
    HealthChecks,
    HealthCheckService,
    HealthReport,
    HealthResult,
    HealthStatus,
    Heartbeat,
    LoopLag,
    Measurement,
    ServiceInfo,
    answer_probe,
    disk_health_check,
    health_check,
    loop_lag_health_check,
    memory_health_check,
    read_heartbeats,
    register_health_check,
    remove_health_check,
    run_health_checks,
)


# defining
@health_check("database", critical=True, timeout="5s")
async def database() -> bool:
    return True


@health_check("disk", timeout=timedelta(seconds=1))
def disk() -> HealthResult:
    return HealthResult(HealthStatus.DEGRADED, "nearly full")


@health_check("nothing")
async def nothing() -> None: ...


@health_check("mapping")
def mapping() -> dict[str, object]:
    return {"status": "ok"}


assert_type(database, HealthCheck[Coroutine[Any, Any, bool]])
assert_type(disk(), HealthResult)
definitions: Sequence[HealthCheck] = [database, disk, nothing, mapping]


async def calling() -> None:
    assert_type(await database(), bool)


@health_check("pid")  # E: type-var
def returns_a_number() -> int:
    return 1


@health_check("factory")  # E: type-var
def factory() -> Callable[[], bool]:
    return lambda: True


@health_check("arguments")  # E: arg-type
def needs_an_argument(pool: object) -> bool:
    return True


database.name = "other"  # E: misc
health_check("x", timeout=None)
health_check("x", False)  # E: call-arg


# holding and running
async def ping(pool: object) -> None: ...


health = HealthChecks(definitions, default_timeout=5)
assert_type(HealthChecks([database, disk]).names, tuple[str, ...])
health.register("a", lambda: True, critical=False, timeout="2s")
health.register("b", lambda: ping(object()))
health.register("c", partial(ping, object()))
health.register("d", database)
health.add(database)
health.add("e", disk, critical=False)
health.register("f", ping)  # E: arg-type
health.register("g", lambda: 5)  # E: arg-type,return-value
health.register("h", lambda: True, False)  # E: call-arg
health.add(database, critical=False)  # E: call-overload
health.register("i", lambda: True, groups="startup")
health.register("j", lambda: True, groups=("liveness", "readiness"), local=True, component_type="system")
health.register("k", lambda: True, groups=5)  # E: arg-type
assert_type(health.remove("a"), bool)
assert_type(health.is_alive(), bool)
assert_type(health.liveness(), HealthReport)


async def running() -> None:
    report = await health.run()
    assert_type(report, HealthReport)
    assert_type(report.status, HealthStatus)
    assert_type(report.checks["a"].message, str | None)
    assert_type(report.timestamp, datetime)
    assert_type(report.to_dict(dialect="ok", details=False), dict[str, object])
    report.status = HealthStatus.HEALTHY  # E: misc
    report.to_dict("ok")  # E: call-arg


# built-in checks, called or not
health.register("memory", memory_health_check)
health.register("memory", memory_health_check(0.8, unhealthy_at=0.95))
health.add(disk_health_check)
health.add("disk", disk_health_check("/data", name="data"))
HealthChecks([memory_health_check, disk_health_check("/data"), loop_lag_health_check(lag=LoopLag())])
assert_type(memory_health_check()(), HealthResult)
assert_type(loop_lag_health_check(), HealthCheck[Coroutine[Any, Any, HealthResult]])
memory_health_check("0.9")  # E: arg-type
memory_health_check(threshold=0.9, unhealthy=0.95)  # E: call-arg
HealthResult(HealthStatus.HEALTHY, measured=Measurement("connections", 5))


def observe(name: str, result: HealthResult) -> None: ...


HealthChecks(cache="1s", degraded_status=503, service=ServiceInfo(version="1"), observe=observe)
HealthChecks(observe=lambda name: None)  # E: arg-type,misc


# reporting, and who asks
async def reporting() -> None:
    report = await health.report("readiness", max_age="5s")
    assert_type(report.http_status, int)
    assert_type(report.to_health_json(details=False), dict[str, object])
    assert_type(report.checks["a"].changed_at, datetime | None)
    assert_type(health.changes("a"), tuple[HealthChange, ...])
    assert_type(health.has_started, bool)
    answer = await answer_probe("/readyz", health, is_open=True, details=False, query="verbose", accept="*/*")
    assert_type(answer.status, int)
    await answer_probe("/readyz", health)  # E: call-arg
    service = HealthCheckService(health)
    assert_type(await service.check_readiness(), HealthReport)


async def beating() -> None:
    async with HealthBeacon("var/health", health, kind="worker", extra=lambda: {"active": 1}, interval="2s") as beacon:
        assert_type(beacon, HealthBeacon)
    assert_type(read_heartbeats("var/health", kind="worker"), list[Heartbeat])
    HealthBeacon("var/health", health)  # E: call-arg


# the functions of the face
async def bound() -> None:
    register_health_check("a", lambda: True, critical=False, timeout=1)
    register_health_check("a")  # E: call-arg
    assert_type(await run_health_checks(), HealthReport)
    assert_type(remove_health_check("a"), bool)
