"""The functions that act on the checks of the bound `Infra`."""

from __future__ import annotations

from typing import cast

from undercroft._core.bound import BoundPart
from undercroft._core.durations import Duration
from undercroft.health._checks import HealthChecks
from undercroft.health._definition import Checker
from undercroft.health._report import HealthReport

_health = BoundPart[HealthChecks]("health")


def register_health_check(
    name: str, checker: Checker, *, critical: bool | None = None, timeout: Duration | None = None
) -> None:
    """Register a function under `name` with the bound `Infra`; see `HealthChecks.register`.

    Raises:
        NotBoundError: No `Infra` is bound here.
    """
    _health.require().register(name, checker, critical=critical, timeout=timeout)


def remove_health_check(name: str) -> bool:
    """Remove the check called `name` from the bound `Infra`; return whether there was one.

    Raises:
        NotBoundError: No `Infra` is bound here.
    """
    return _health.require().remove(name)


async def perform_readiness_check() -> dict[str, dict[str, object]]:
    """Run all checks of the bound `Infra` at once and return one entry for each, by its name.

    An entry is `{"status": "ok" | "degraded" | "error", "latency": milliseconds, "message"?: text}`. A check that does
    not answer within its timeout (5 seconds) is an error and does not hold the others.

    Raises:
        NotBoundError: No `Infra` is bound here.
    """
    report = (await run_health_checks()).to_dict(dialect="ok")
    checks = cast("dict[str, dict[str, object]]", report["checks"])
    return {name: _entry(check) for name, check in checks.items()}


def _entry(check: dict[str, object]) -> dict[str, object]:
    entry = {"status": check["status"], "latency": check["latency_ms"]}
    return {**entry, "message": check["message"]} if "message" in check else entry


async def run_health_checks() -> HealthReport:
    """Run all checks of the bound `Infra` at once, each within its timeout; see `HealthChecks.run`.

    Raises:
        NotBoundError: No `Infra` is bound here.
    """
    return await _health.require().run()
