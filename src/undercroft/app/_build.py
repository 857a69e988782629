"""From arguments and settings to parts. Connects to nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from undercroft._core.clock import Clock
from undercroft._core.errors import ConfigError, InvalidSettingsError, MissingExtraError
from undercroft.app._counts import HealthGauges
from undercroft.app._handed import HandedIn, handed_in
from undercroft.app._jobs import crons_of, jobs_of, sagas_of
from undercroft.app._observability import Observability
from undercroft.app._services import Services
from undercroft.app._settings import Settings, file_in
from undercroft.app._stores import NAMES, Stores
from undercroft.email import Email, Transport, open_transport
from undercroft.health import HealthChecks, ServiceInfo
from undercroft.monitoring import ErrorTracker
from undercroft.queue import Engine, Job, Queue, open_engine

if TYPE_CHECKING:
    from undercroft.resilience import Sagas

T = TypeVar("T")
D = TypeVar("D")
_METHODS = {"cache": "take_lease", "locks": "force_release", "limits": "refund", "breakers": "swap"}
"""What a store that was handed in for a part must have, to be taken for one."""


class Builder:
    """Builds the parts of one `Infra`, and collects what is wrong with all of them. Lives for one building.

    A part is made even when what it stands on has a problem, since it only keeps that, and its own problems are to be
    reported as well; `finish` raises before anybody could use it.
    """

    def __init__(self, arguments: Mapping[str, Any], clock: Clock) -> None:
        self._arguments = arguments
        self._clock = clock
        self.settings, problems = Settings.read_all(arguments["environ"], arguments)
        self._problems = list(problems)
        self.handed_in: list[HandedIn] = []

    def queue(
        self, bind: Callable[[], AbstractContextManager[object]], errors: ErrorTracker
    ) -> tuple[Queue, Callable[[], Sagas]]:
        """Return the queue, with every job and cron that was named, and what makes the sagas that it drives."""
        engine = self._attempt(self._engine)
        definitions = self._definitions("sagas", sagas_of)

        @cache
        def sagas() -> Sagas:
            from undercroft.app._sagas import build_sagas

            return build_sagas(engine, definitions, clock=self._clock)

        jobs = (*self._definitions("jobs", jobs_of), *(self._saga_jobs(sagas) if definitions else ()))
        crons = self._definitions("crons", crons_of)
        queue = self._attempt(lambda: Queue(engine, jobs, crons=crons, clock=self._clock, bind=bind, errors=errors))
        return queue, sagas

    def _saga_jobs(self, sagas: Callable[[], Sagas]) -> tuple[Job[..., Any], ...]:
        from undercroft.app._sagas import saga_jobs

        return self._attempt(lambda: saga_jobs(sagas())) or ()

    def email(self) -> Email:
        """Return the mail."""
        transport = self._attempt(self._transport)
        sender, templates = self.settings.email_from.value, self.settings.email_templates.value
        return Email(transport, from_=sender, templates=templates, clock=self._clock)

    def services(self, bind: Callable[[], AbstractContextManager[object]]) -> Services:
        """Return the connections."""
        return Services(self.settings, self._arguments, self._clock, bind=bind, attempt=self._attempt)

    def stores(self, services: Services) -> Stores:
        """Return the cache, the locks, the limits and the breakers."""
        given = {name: self._given(name, method=_METHODS[name]) for name in NAMES}
        handed = {name: store for name, store in given.items() if store is not None}
        return Stores(self.settings, self._arguments, services, self._clock, given=handed, attempt=self._attempt)

    def observability(self) -> Observability:
        """Return what tells of all this."""
        return Observability(self.settings, self._clock, attempt=self._attempt)

    def health(
        self, queue: Queue, email: Email, services: Services, stores: Stores, observability: Observability
    ) -> HealthChecks:
        """Return the checks: of our parts first, so that one of the application's may replace it."""
        service = ServiceInfo(service_id=self.settings.service.value, release_id=self.settings.release.value)
        health = HealthChecks(clock=self._clock, service=service, observe=HealthGauges())
        if not self._problems:  # or there may be no queue to ask
            health.register("queue", _check_of(queue), component_type="datastore")
            health.register("email", email.ping, critical=False)
            services.register_checks(health)
            stores.register_checks(health)
            if observability.recent is not None and self.settings.recent.origin != "default":
                health.register("recent", observability.recent.ping, critical=False, component_type="datastore")
        for check in self._arguments["health_checks"]:
            self._attempt(partial(health.add, check))
        return health

    def finish(self) -> None:
        """Raise if anything was wrong.

        Raises:
            InvalidSettingsError: With every problem.
        """
        if self._problems:
            raise InvalidSettingsError(self._problems)

    def _attempt(self, build: Callable[[], T]) -> T:
        try:
            return build()
        except ConfigError as exc:
            self._problems.append(exc)
            return cast("T", None)

    def _engine(self) -> Engine:
        given = self._given("queue", method="claim")
        if given is not None:
            return cast("Engine", given)
        url, origin = self.settings.queue.value, self.settings.queue.origin
        assert url is not None
        try:
            return open_engine(url, what=origin, clock=self._clock)
        except MissingExtraError as exc:
            if origin.removesuffix("_FILE") != "REDIS_URL":
                raise
            # Whoever set it may have meant the other uses of Redis only.
            line = f"UNDERCROFT_QUEUE={file_in(self.settings.home.value, 'queue')}"
            raise MissingExtraError(exc.message, hint=f"{exc.hint}; or keep the jobs on this machine: {line}") from exc

    def _transport(self) -> Transport:
        given = self._given("email", method="send")
        if given is not None:
            return cast("Transport", given)
        assert self.settings.email.value is not None
        return open_transport(self.settings.email.value, what=self.settings.email.origin)

    def _given(self, argument: str, *, method: str) -> object:
        """Return the object that was handed in for a part, if one was."""
        given = self._arguments[argument]
        if given is None or isinstance(given, str):
            return None
        self.handed_in.append(handed_in(argument, given, method=method))
        return self.handed_in[-1].value

    def _definitions(self, argument: str, of: Callable[[Any], tuple[D, ...]]) -> tuple[D, ...]:
        found = [self._attempt(partial(of, source)) for source in self._arguments[argument]]
        return tuple({id(value): value for values in found for value in values or ()}.values())


def _check_of(queue: Queue) -> Callable[[], Awaitable[Mapping[str, str] | None]]:
    async def check() -> Mapping[str, str] | None:
        """Ask the store for an answer, and the workers of this process for what is wrong with them."""
        await queue.ping()
        problems = queue.problems()
        return {"status": "unhealthy", "message": "; ".join(problems)} if problems else None

    return check
