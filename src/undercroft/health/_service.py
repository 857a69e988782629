"""The checks as one service object."""

from __future__ import annotations

from undercroft._core.durations import Duration
from undercroft.health._checks import HealthChecks, Registrable
from undercroft.health._face import bound_health
from undercroft.health._group import Groups
from undercroft.health._report import HealthReport


class HealthCheckService:
    """The three questions of a platform, asked of one set of checks; for code that is given its services.

        service = HealthCheckService(infra.health)
        service.register("database", ping, timeout="2s")
        report = await service.check_readiness()
        respond(report.http_status, report.to_dict(details=False))

    Holds nothing that must be closed. All results may be a second old; see `HealthChecks.report`.

    Args:
        checks: Which checks; `None` is those of the `Infra` that is bound when a method is called.
    """

    def __init__(self, checks: HealthChecks | None = None) -> None:
        self._checks = checks

    @property
    def checks(self) -> HealthChecks:
        """The checks.

        Raises:
            NotBoundError: None were given, and no `Infra` is bound here.
        """
        return bound_health.require() if self._checks is None else self._checks

    def register(
        self,
        name: str,
        checker: Registrable,
        *,
        critical: bool | None = None,
        timeout: Duration | None = None,
        groups: Groups | None = None,
        local: bool | None = None,
    ) -> None:
        """Register a function under `name`; see `HealthChecks.register`."""
        self.checks.register(name, checker, critical=critical, timeout=timeout, groups=groups, local=local)

    def remove(self, name: str) -> bool:
        """Remove the check called `name`; return whether there was one."""
        return self.checks.remove(name)

    async def check_health(self) -> HealthReport:
        """Report on every check."""
        return await self.checks.report()

    async def check_liveness(self) -> HealthReport:
        """Report on the local checks that were registered for liveness: healthy when there are none."""
        return await self.checks.report("liveness")

    async def check_readiness(self) -> HealthReport:
        """Report on whether requests may be sent here."""
        return await self.checks.report("readiness")

    async def check_startup(self) -> HealthReport:
        """Report on the checks for startup; those that passed are not run again."""
        return await self.checks.report("startup")
