"""Health checks: all at once, each within its timeout, critical or not; and what probes are answered.

    from undercroft.health import HealthChecks, health_check, memory_health_check

    @health_check("database", timeout="2s")
    async def database() -> None:                     # returning is healthy, raising is not
        await pool.execute("SELECT 1")

    health = HealthChecks([database, memory_health_check()])     # or Infra(health_checks=[…]), then infra.health
    report = await health.run()                       # `report()` instead: results may be a second old
    report.status, report.is_ready, report.to_dict(details=False)

`register_health_check`, `run_health_checks` and `remove_health_check` act on the bound `Infra`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from undercroft._core.faces import load_late

if TYPE_CHECKING:
    from undercroft.health._beacon import HealthBeacon
    from undercroft.health._checks import HealthChecks
    from undercroft.health._definition import HealthCheck, HealthCheckFactory, health_check
    from undercroft.health._disk import disk_health_check
    from undercroft.health._errors import HealthCheckError, HealthDialectError, HealthGroupError, NoHeartbeatError
    from undercroft.health._face import (
        perform_readiness_check,
        register_health_check,
        remove_health_check,
        run_health_checks,
    )
    from undercroft.health._group import HealthGroup
    from undercroft.health._heartbeats import Heartbeat, read_heartbeats
    from undercroft.health._loop_lag import LoopLag, loop_lag_health_check
    from undercroft.health._memory import memory_health_check
    from undercroft.health._probe import PROBE_PATHS, ProbeAnswer, answer_probe
    from undercroft.health._report import HealthReport, ServiceInfo
    from undercroft.health._result import HealthChange, HealthFailure, HealthResult, Measurement
    from undercroft.health._service import HealthCheckService
    from undercroft.health._status import HealthStatus

__all__ = [
    "PROBE_PATHS",
    "HealthBeacon",
    "HealthChange",
    "HealthCheck",
    "HealthCheckError",
    "HealthCheckFactory",
    "HealthCheckService",
    "HealthChecks",
    "HealthDialectError",
    "HealthFailure",
    "HealthGroup",
    "HealthGroupError",
    "HealthReport",
    "HealthResult",
    "HealthStatus",
    "Heartbeat",
    "LoopLag",
    "Measurement",
    "NoHeartbeatError",
    "ProbeAnswer",
    "ServiceInfo",
    "answer_probe",
    "disk_health_check",
    "health_check",
    "loop_lag_health_check",
    "memory_health_check",
    "perform_readiness_check",
    "read_heartbeats",
    "register_health_check",
    "remove_health_check",
    "run_health_checks",
]

# Loaded on first use: `undercroft health` reads what the processes wrote down in a few milliseconds, so the reader,
# which needs nothing of the rest, must be importable without it. Each name is in the file that stands here.
__getattr__ = load_late(
    __name__,
    {
        "_beacon": ("HealthBeacon",),
        "_checks": ("HealthChecks",),
        "_definition": ("HealthCheck", "HealthCheckFactory", "health_check"),
        "_disk": ("disk_health_check",),
        "_errors": ("HealthCheckError", "HealthDialectError", "HealthGroupError", "NoHeartbeatError"),
        "_face": ("perform_readiness_check", "register_health_check", "remove_health_check", "run_health_checks"),
        "_group": ("HealthGroup",),
        "_heartbeats": ("Heartbeat", "read_heartbeats"),
        "_loop_lag": ("LoopLag", "loop_lag_health_check"),
        "_memory": ("memory_health_check",),
        "_probe": ("PROBE_PATHS", "ProbeAnswer", "answer_probe"),
        "_report": ("HealthReport", "ServiceInfo"),
        "_result": ("HealthChange", "HealthFailure", "HealthResult", "Measurement"),
        "_service": ("HealthCheckService",),
        "_status": ("HealthStatus",),
    },
)


def __dir__() -> list[str]:
    return __all__
