"""Health checks: all at once, each within its timeout, critical or not.

    from undercroft.health import HealthChecks, health_check

    @health_check("database", timeout="2s")
    async def database() -> None:                     # returning is healthy, raising is not
        await pool.execute("SELECT 1")

    health = HealthChecks([database])                 # or Infra(health_checks=[database]), then infra.health
    report = await health.run()
    report.status, report.is_ready, report.to_dict(details=False)

`register_health_check`, `run_health_checks` and `remove_health_check` act on the bound `Infra`.
"""

from __future__ import annotations

from undercroft.health._checks import HealthChecks
from undercroft.health._definition import HealthCheck, health_check
from undercroft.health._errors import HealthCheckError, HealthDialectError
from undercroft.health._face import (
    perform_readiness_check,
    register_health_check,
    remove_health_check,
    run_health_checks,
)
from undercroft.health._report import HealthReport, HealthResult
from undercroft.health._status import HealthStatus

__all__ = [
    "HealthCheck",
    "HealthCheckError",
    "HealthChecks",
    "HealthDialectError",
    "HealthReport",
    "HealthResult",
    "HealthStatus",
    "health_check",
    "perform_readiness_check",
    "register_health_check",
    "remove_health_check",
    "run_health_checks",
]
