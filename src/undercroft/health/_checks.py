"""The checks of an application, run together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, overload

import anyio

from undercroft._core.clock import Clock, SystemClock, utc
from undercroft._core.durations import Duration
from undercroft.health._definition import Checker, HealthCheck, timeout_seconds
from undercroft.health._errors import HealthCheckError
from undercroft.health._report import HealthReport, HealthResult, overall
from undercroft.health._run import RegisteredCheck


class HealthChecks:
    """Named checks in the order they were registered. Holds nothing that must be closed.

    `Infra` makes one and holds it as `infra.health`; it can also be used alone. Used from one event loop.
    """

    def __init__(
        self,
        checks: Iterable[HealthCheck[Any]] = (),
        *,
        clock: Clock | None = None,
        default_timeout: Duration = "5s",
    ) -> None:
        """Register `checks`.

        Args:
            clock: The host's when `None`.
            default_timeout: For checks that have none of their own; more than zero.
        """
        self._clock = clock or SystemClock()
        self._default_timeout_s = timeout_seconds(default_timeout, what="default")
        self._checks: dict[str, RegisteredCheck] = {}
        self._started_s = self._clock.monotonic()
        for check in checks:
            self._put(check)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the checks, in order."""
        return tuple(self._checks)

    @property
    def uptime_seconds(self) -> float:
        """Seconds since this was made."""
        return self._clock.monotonic() - self._started_s

    @overload
    def add(self, check: HealthCheck[Any], /) -> None: ...

    @overload
    def add(
        self, name: str, checker: Checker, /, *, critical: bool | None = None, timeout: Duration | None = None
    ) -> None: ...

    def add(
        self,
        name: str | HealthCheck[Any],
        checker: Checker | None = None,
        /,
        *,
        critical: bool | None = None,
        timeout: Duration | None = None,
    ) -> None:
        """Register a definition; or a function, as `register` does.

        Raises:
            HealthCheckError: As `register`; or options are given beside a definition, which has its own.
        """
        if not isinstance(name, HealthCheck):
            if checker is None:
                raise HealthCheckError(f"health check {name!r} has no checker", hint="add(name, checker)")
            self.register(name, checker, critical=critical, timeout=timeout)
        elif checker is not None or critical is not None or timeout is not None:
            raise HealthCheckError(
                f"health check {name.name!r} is a definition, with options of its own",
                hint="add(check) alone, or register(name, check, critical=…) to change them",
            )
        else:
            self._put(name)

    def register(
        self, name: str, checker: Checker, *, critical: bool | None = None, timeout: Duration | None = None
    ) -> None:
        """Register a function under `name`. A check of the same name is replaced, and keeps its place.

        Args:
            checker: A function without arguments. A `HealthCheck` too: then `critical` and `timeout` are its own,
                unless they are given here.
            critical: `False` for what the application can serve without; `True` when `None`.
            timeout: More than zero; `None` takes the default.

        Raises:
            HealthCheckError: The name is empty, the checker needs arguments, or the timeout is zero.
            DurationError: The timeout is not a duration.
        """
        timeout_s = None if timeout is None else timeout_seconds(timeout, what=name)
        if isinstance(checker, HealthCheck):
            critical = checker.critical if critical is None else critical
            timeout_s = checker.timeout_s if timeout_s is None else timeout_s
            checker = checker.function
        is_critical = critical is None or critical
        self._put(HealthCheck(name=name, function=checker, critical=is_critical, timeout_s=timeout_s))

    def remove(self, name: str) -> bool:
        """Remove the check called `name`; return whether there was one."""
        return self._checks.pop(name, None) is not None

    async def run(self) -> HealthReport:
        """Run all checks at once, each within its own timeout, and report.

        An `async` checker is cancelled at its timeout. One that is not runs in a thread, with the context of the
        caller; a thread cannot be stopped, so it is abandoned. An `async` checker that does not end within a quarter
        of a second after its cancellation (it swallows it, or waits shielded) is abandoned too. As long as an abandoned
        one hangs, later runs report it as hung instead of starting another; a hung thread also keeps the process from
        ending. A checker's exceptions, and answers that mean nothing, are unhealthy results.

        Cancellation: safe; the checks are cancelled with it.
        """
        checks = dict(self._checks)
        results: dict[str, HealthResult] = {}
        # A limiter of their own: the application's busy threads must not make a check look slow.
        limiter = anyio.CapacityLimiter(max(1, len(checks)))

        async def run_one(name: str, check: RegisteredCheck) -> None:
            results[name] = await check.run(limiter)

        async with anyio.create_task_group() as tasks:
            for name, check in checks.items():
                tasks.start_soon(run_one, name, check, name=f"health check {name}")
        return self._report({name: results[name] for name in checks})

    def is_alive(self) -> bool:
        """Return `True`: whoever can ask is alive. Runs no check, so a lost database never restarts the process."""
        return True

    def liveness(self) -> HealthReport:
        """Return a healthy report without checks, for a liveness probe. Runs no check."""
        return self._report({})

    def _put(self, check: HealthCheck[Any]) -> None:
        timeout_s = check.timeout_s if check.timeout_s is not None else self._default_timeout_s
        self._checks[check.name] = RegisteredCheck(check, timeout_s=timeout_s, clock=self._clock)

    def _report(self, results: dict[str, HealthResult]) -> HealthReport:
        now = utc(self._clock.time())
        status = overall(results.values())
        return HealthReport(status=status, checks=results, timestamp=now, uptime_seconds=self.uptime_seconds)
