"""The functions that act on the checks of the bound `Infra`."""

from __future__ import annotations

from typing import cast

from undercroft._core.bound import BoundPart
from undercroft._core.durations import Duration
from undercroft.health._checks import HealthChecks, Registrable
from undercroft.health._group import Groups
from undercroft.health._report import HealthReport

bound_health = BoundPart[HealthChecks]("health")


def register_health_check(
    name: str,
    checker: Registrable,
    *,
    critical: bool | None = None,
    timeout: Duration | None = None,
    groups: Groups | None = None,
    local: bool | None = None,
) -> None:
    """Register a function under `name` with the bound `Infra`; see `HealthChecks.register`.

    Raises:
        NotBoundError: No `Infra` is bound here.
    """
    bound_health.require().register(name, checker, critical=critical, timeout=timeout, groups=groups, local=local)


def remove_health_check(name: str) -> bool:
    """Remove the check called `name` from the bound `Infra`; return whether there was one.

    Raises:
        NotBoundError: No `Infra` is bound here.
    """
    return bound_health.require().remove(name)


async def perform_readiness_check() -> dict[str, dict[str, object]]:
    """Run the checks for readiness of the bound `Infra` at once and return one entry for each, by its name.

    An entry is `{"status": "ok" | "degraded" | "error", "latency": milliseconds, "message"?: text}`. A check that does
    not answer within its timeout (5 seconds) is an error and does not hold the others. Results may be a second old, as
    those of `run_health_checks`.

    Raises:
        NotBoundError: No `Infra` is bound here.
    """
    report = (await bound_health.require().report("readiness")).to_dict(dialect="ok")
    checks = cast("dict[str, dict[str, object]]", report["checks"])
    return {name: _entry(check) for name, check in checks.items()}


def _entry(check: dict[str, object]) -> dict[str, object]:
    entry = {"status": check["status"], "latency": check["latency_ms"]}
    return {**entry, "message": check["message"]} if "message" in check else entry


async def run_health_checks() -> HealthReport:
    """Run all checks of the bound `Infra` at once, each within its timeout; see `HealthChecks.report`.

    Fit for a route that strangers call: results may be a second old, and a burst of requests runs each check once.
    `infra.health.run()` asks anew each time.

    Raises:
        NotBoundError: No `Infra` is bound here.
    """
    return await bound_health.require().report()
