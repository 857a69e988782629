"""The checks of an application, run together."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, TypeAlias, overload

import anyio

from undercroft._core.clock import Clock, SystemClock, utc
from undercroft._core.durations import Duration, to_seconds
from undercroft.health._definition import Checker, HealthCheck, HealthCheckFactory, timeout_seconds
from undercroft.health._errors import HealthCheckError
from undercroft.health._group import Groups, HealthGroup, read_group, read_groups
from undercroft.health._history import Observe
from undercroft.health._report import HealthReport, ServiceInfo, overall
from undercroft.health._result import HealthChange, HealthResult
from undercroft.health._run import RegisteredCheck

_STATUSES = frozenset(int(status) for status in HTTPStatus if status >= 200)

AnyFactory: TypeAlias = HealthCheckFactory[..., HealthCheck[Any]]
Registrable: TypeAlias = Checker | AnyFactory
"""A checker, a definition (which is one), or a function of ours that makes a definition."""


class HealthChecks:
    """Named checks in the order they were registered. Holds nothing that must be closed.

    `Infra` makes one and holds it as `infra.health`; it can also be used alone. Used from one event loop.
    """

    def __init__(
        self,
        checks: Iterable[HealthCheck[Any] | AnyFactory] = (),
        *,
        clock: Clock | None = None,
        default_timeout: Duration = "5s",
        cache: Duration = "1s",
        degraded_status: int = 200,
        service: ServiceInfo | None = None,
        observe: Observe | None = None,
    ) -> None:
        """Register `checks`.

        Args:
            clock: The host's when `None`.
            default_timeout: For checks that have none of their own; more than zero.
            cache: How old a result may be for `report`, which answers probes; zero for never.
            degraded_status: The HTTP status of a report that is degraded: 200 to be sent requests, 503 not to be.
            service: What `application/health+json` says of the application.
            observe: Called with name and result whenever a check was really run, in the event loop. What it raises is
                logged.

        Raises:
            HealthCheckError: As `register`; or the status is none.
        """
        if degraded_status not in _STATUSES:
            raise HealthCheckError(f"degraded_status {degraded_status!r} is no final HTTP status", hint="200 or 503")
        self._clock = clock or SystemClock()
        self._default_timeout_s = timeout_seconds(default_timeout, what="default")
        self._cache_s = to_seconds(cache, name="cache of health checks")
        self._degraded_status = degraded_status
        self._service = service
        self._observe = observe
        self._checks: dict[str, RegisteredCheck] = {}
        self._started_s = self._clock.monotonic()
        for check in checks:
            self.add(check)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the checks, in order."""
        return tuple(self._checks)

    @property
    def uptime_seconds(self) -> float:
        """Seconds since this was made."""
        return self._clock.monotonic() - self._started_s

    @property
    def has_started(self) -> bool:
        """Whether every critical check for startup has passed once."""
        return not any(
            HealthGroup.STARTUP in check.check.groups and check.check.critical and not check.has_passed
            for check in self._checks.values()
        )

    @overload
    def add(self, check: HealthCheck[Any] | AnyFactory, /) -> None: ...

    @overload
    def add(
        self,
        name: str,
        checker: Registrable,
        /,
        *,
        critical: bool | None = None,
        timeout: Duration | None = None,
        groups: Groups | None = None,
        local: bool | None = None,
        component_type: str | None = None,
    ) -> None: ...

    def add(
        self,
        name: str | HealthCheck[Any] | AnyFactory,
        checker: Registrable | None = None,
        /,
        **options: Any,
    ) -> None:
        """Register a definition; or a function, as `register` does.

        Raises:
            HealthCheckError: As `register`; or options are given beside a definition, which has its own.
        """
        if isinstance(name, HealthCheckFactory):
            name = name.make_default()
        if not isinstance(name, HealthCheck):
            if checker is None:
                raise HealthCheckError(f"health check {name!r} has no checker", hint="add(name, checker)")
            self.register(name, checker, **options)
        elif checker is not None or any(value is not None for value in options.values()):
            raise HealthCheckError(
                f"health check {name.name!r} is a definition, with options of its own",
                hint="add(check) alone, or register(name, check, critical=…) to change them",
            )
        else:
            self._put(name)

    def register(
        self,
        name: str,
        checker: Registrable,
        *,
        critical: bool | None = None,
        timeout: Duration | None = None,
        groups: Groups | None = None,
        local: bool | None = None,
        component_type: str | None = None,
    ) -> None:
        """Register a function under `name`. A check of the same name is replaced, keeps its place, and loses its past.

        Args:
            checker: A function without arguments. A `HealthCheck` too: then the other arguments are its own, unless
                they are given here. Or a function that makes one, such as `memory_health_check`.
            critical: `False` for what the application can serve without; `True` when `None`.
            timeout: More than zero; `None` takes the default.
            groups: `"readiness"` when `None`; `"liveness"`, `"startup"`, or several of them. See `HealthGroup`.
            local: `True` for what asks nothing outside of this process. Liveness takes no others.
            component_type: For `application/health+json`: `component`, `datastore` or `system`.

        Raises:
            HealthCheckError: The name is empty, the checker needs arguments, the timeout is zero, or a group unknown.
            HealthGroupError: It is meant for liveness, and not local.
            DurationError: The timeout is not a duration.
        """
        if isinstance(checker, HealthCheckFactory):
            checker = checker.make_default()
        own = checker if isinstance(checker, HealthCheck) else None
        timeout_s = None if timeout is None else timeout_seconds(timeout, what=name)
        is_local = _first(local, own and own.local, default=False)
        wanted: Groups = _first(groups, own and own.groups, default=HealthGroup.READINESS)
        self._put(
            HealthCheck(
                name=name,
                function=checker if own is None else own.function,
                critical=_first(critical, own and own.critical, default=True),
                timeout_s=_first(timeout_s, own and own.timeout_s, default=None),
                groups=read_groups(wanted, name=name, local=is_local),
                local=is_local,
                component_type=_first(component_type, own and own.component_type, default=None),
            )
        )

    def remove(self, name: str) -> bool:
        """Remove the check called `name`; return whether there was one."""
        return self._checks.pop(name, None) is not None

    async def run(self, group: str | None = None) -> HealthReport:
        """Run all checks at once, or those of a group, each within its own timeout, and report.

        An `async` checker is cancelled at its timeout. One that is not runs in a thread, with the context of the
        caller; a thread cannot be stopped, so it is abandoned. An `async` checker that does not end within a quarter
        of a second after its cancellation (it swallows it, or waits shielded) is abandoned too. As long as an abandoned
        one hangs, later runs report it as hung instead of starting another; a hung thread also keeps the process from
        ending. A checker's exceptions, and answers that mean nothing, are unhealthy results.

        A check for startup alone that has passed is not run again; its result is told, with its age.

        Cancellation: safe; the checks are cancelled with it, unless another run waits for the same call.

        Raises:
            HealthCheckError: There is no such group.
        """
        return await self._run(group, max_age_s=0)

    async def report(self, group: str | None = None, *, max_age: Duration | None = None) -> HealthReport:
        """Report as `run` does, with results that may be kept from a moment ago: for whatever strangers can ask.

        However many ask at once, each check is run once, and however fast they ask, once in `max_age`. A result tells
        its `age_s`.

        Args:
            max_age: How old a result may be; `None` takes `cache`, which is a second.

        Raises:
            HealthCheckError: There is no such group.
        """
        max_age_s = self._cache_s if max_age is None else to_seconds(max_age, name="max_age")
        return await self._run(group, max_age_s=max_age_s)

    def changes(self, name: str | None = None) -> tuple[HealthChange, ...]:
        """Return when checks changed their status, oldest first: the last 50 of each check, or of the one named."""
        kept = [
            change for key, check in self._checks.items() if name in (None, key) for change in check.history.changes
        ]
        return tuple(sorted(kept, key=lambda change: change.changed_at))

    def is_alive(self) -> bool:
        """Return `True`: whoever can ask is alive. Runs no check, so a lost database never restarts the process."""
        return True

    def liveness(self) -> HealthReport:
        """Return a healthy report without checks, for a liveness probe. Runs no check, not even those for liveness."""
        return self._report({})

    async def _run(self, group: str | None, *, max_age_s: float) -> HealthReport:
        chosen = self._chosen(None if group is None else read_group(group, of="the report"))
        results: dict[str, HealthResult] = {}
        # A limiter of their own: the application's busy threads must not make a check look slow.
        limiter = anyio.CapacityLimiter(max(1, len(chosen)))

        async def run_one(name: str, check: RegisteredCheck) -> None:
            results[name] = await check.run(limiter, max_age_s=max_age_s)

        async with anyio.create_task_group() as tasks:
            for name, (check, is_settled) in chosen.items():
                kept = check.history.last() if is_settled else None
                if kept is not None:
                    results[name] = kept
                else:
                    tasks.start_soon(run_one, name, check, name=f"health check {name}")
        return self._report({name: results[name] for name in chosen})

    def _chosen(self, group: HealthGroup | None) -> dict[str, tuple[RegisteredCheck, bool]]:
        """Return the checks that answer a question, and whether the answer is known for good."""
        has_started = self.has_started
        chosen: dict[str, tuple[RegisteredCheck, bool]] = {}
        for name, check in self._checks.items():
            groups = check.check.groups
            is_pending = HealthGroup.STARTUP in groups and not has_started and not check.has_passed
            if group is None or group in groups or (group is HealthGroup.READINESS and is_pending):
                asks_startup = group is HealthGroup.STARTUP or groups == (HealthGroup.STARTUP,)
                chosen[name] = check, asks_startup and not is_pending
        return chosen

    def _put(self, check: HealthCheck[Any]) -> None:
        timeout_s = check.timeout_s if check.timeout_s is not None else self._default_timeout_s
        self._checks[check.name] = RegisteredCheck(check, timeout_s=timeout_s, clock=self._clock, observe=self._observe)

    def _report(self, results: dict[str, HealthResult]) -> HealthReport:
        return HealthReport(
            status=overall(results.values()),
            checks=results,
            timestamp=utc(self._clock.time()),
            uptime_seconds=self.uptime_seconds,
            degraded_status=self._degraded_status,
            service=self._service,
        )


def _first(given: Any, own: Any, *, default: Any) -> Any:
    """Return the first of the two that is not `None`, else the default."""
    return given if given is not None else own if own is not None else default
