"""The functions that act on the checks of the bound `Infra`."""

from __future__ import annotations

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


async def run_health_checks() -> HealthReport:
    """Run all checks of the bound `Infra` at once, each within its timeout; see `HealthChecks.run`.

    Raises:
        NotBoundError: No `Infra` is bound here.
    """
    return await _health.require().run()
