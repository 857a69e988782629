"""The composition root: the only code that builds parts out of settings."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack, cast

from undercroft._core.bound import bind, bound_source
from undercroft._core.clock import Clock, SystemClock
from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import NotOpenError
from undercroft._core.lifecycle import Lifecycle, Part
from undercroft._core.url import Url
from undercroft.app._arguments import InfraArguments
from undercroft.app._build import Builder
from undercroft.app._environment import Setting
from undercroft.app._errors import AlreadyOpenError
from undercroft.app._findings import Finding, live_findings, static_findings
from undercroft.app._home import Home
from undercroft.app._jobs import CronSource, JobSource, SagaSource, saga_sources_of, sources_of
from undercroft.app._observability import Observability
from undercroft.app._services import ServiceReport, Services, report_services
from undercroft.app._settings import Settings
from undercroft.app._start import Patient, StartDeadline
from undercroft.app._stores import NAMES as STORES
from undercroft.app._stores import Stores
from undercroft.cache import Cache, CacheBackend, LocalTier
from undercroft.connections.mongo import Mongo
from undercroft.connections.pubsub import PubSub, Subscription, Topic
from undercroft.connections.sql import Database
from undercroft.email import Email, Transport
from undercroft.health import HealthCheck, HealthChecks
from undercroft.logging import Secret
from undercroft.monitoring import ErrorTracker
from undercroft.queue import Engine, Queue
from undercroft.ratelimit import LimitStore, RateLimits, RatePolicy
from undercroft.resilience import Breakers, BreakerStore, Locks, LockStore

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

    from undercroft.resilience import Sagas


# Of the time for closing: what running jobs get before the parts under them are closed.
_GRACE_SHARE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class PartDescription:
    """Which backend a part got, and why."""

    part: str
    backend: str
    url: str
    """With secrets hidden; empty when an object was handed in."""
    chosen_by: str
    """The setting that decided: a variable's name, an argument, or `default`."""


class Infra:
    """Everything an application stands on, in one object. Lives as long as the application.

    Building it reads the environment once and connects to nothing. `async with infra:` opens every part in floor order,
    all or nothing, and binds it in this task; leaving closes them in reverse under one deadline. `InfraMiddleware` does
    both for a web application, the worker for each job.

    It is open once at a time. After it was closed it may be opened again, also in another event loop, so that one that
    is made at import serves every test; what was handed in as an object must allow that too. Used from one event loop
    at a time.

    Args:
        jobs: Jobs, modules that hold jobs, or dotted names of such modules.
        crons: Crons, modules that hold crons, or dotted names of such modules. Every worker fires them.
        sagas: Sagas, modules that hold sagas, or dotted names of such modules. Every worker drives them.
        rate_policies: The policies of `infra.limits` that can be named.
        cache_local: What may be kept in this process in front of a cache on Redis.
        health_checks: Definitions made by `@health_check`. One called `queue` or `email` replaces ours.
        queue: A URL, or an engine that is opened and closed with this. So with `cache`, `locks`, `limits`, `breakers`.
        email: A URL, or a transport that is opened and closed with this.
        environ: Where settings are read, once; default `os.environ`. The other arguments come before it.
        clock: The time of every part; the host's when `None`.

    The others are settings: see `Settings`.

    Raises:
        InvalidSettingsError: With every problem there is.
    """

    settings: Settings
    clock: Clock
    queue: Queue
    email: Email
    health: HealthChecks
    services: Services
    stores: Stores
    observability: Observability

    def __init__(
        self,
        *,
        jobs: JobSource | Iterable[JobSource] = (),
        crons: CronSource | Iterable[CronSource] = (),
        sagas: SagaSource | Iterable[SagaSource] = (),
        rate_policies: Iterable[RatePolicy] = (),
        health_checks: Iterable[HealthCheck] = (),
        queue: str | Engine | None = None,
        cache: str | CacheBackend | None = None,
        cache_local: LocalTier | None = None,
        cache_namespace: str | None = None,
        cache_ttl: Duration | None = None,
        locks: str | LockStore | None = None,
        limits: str | LimitStore | None = None,
        breakers: str | BreakerStore | None = None,
        email: str | Transport | None = None,
        email_from: str | None = None,
        email_templates: str | Path | Iterable[str | Path] | None = None,
        env: str | None = None,
        home: str | Path | None = None,
        service: str | None = None,
        release: str | None = None,
        log_level: str | None = None,
        log_format: str | None = None,
        log_sample: float | None = None,
        metrics: str | None = None,
        metrics_token: str | Secret[str] | None = None,
        recent: str | None = None,
        traces: str | None = None,
        traces_sampler: str | None = None,
        sentry: str | Secret[str] | None = None,
        database: str | None = None,
        database_replica: str | None = None,
        redis: str | None = None,
        mongo: str | None = None,
        pubsub: str | None = None,
        topics: Iterable[Topic[Any]] = (),
        subscriptions: Iterable[Subscription[Any, Any]] = (),
        close_timeout: Duration | None = None,
        start_timeout: Duration | None = None,
        process: str | None = None,
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._arguments: dict[str, Any] = {
            "jobs": sources_of(jobs),
            "crons": sources_of(crons),
            "sagas": saga_sources_of(sagas),
            "rate_policies": tuple(rate_policies),
            "health_checks": tuple(health_checks),
            "queue": queue,
            "cache": cache,
            "cache_local": cache_local,
            "cache_namespace": cache_namespace,
            "cache_ttl": cache_ttl,
            "locks": locks,
            "limits": limits,
            "breakers": breakers,
            "email": email,
            "email_from": email_from,
            "email_templates": email_templates,
            "env": env,
            "home": home,
            "service": service,
            "release": release,
            "log_level": log_level,
            "log_format": log_format,
            "log_sample": log_sample,
            "metrics": metrics,
            "metrics_token": metrics_token,
            "recent": recent,
            "traces": traces,
            "traces_sampler": traces_sampler,
            "sentry": sentry,
            "database": database,
            "database_replica": database_replica,
            "redis": redis,
            "mongo": mongo,
            "pubsub": pubsub,
            "topics": tuple(topics),
            "subscriptions": tuple(subscriptions),
            "close_timeout": close_timeout,
            "start_timeout": start_timeout,
            "process": process,
            "environ": dict(os.environ if environ is None else environ),
            "clock": clock,
        }
        self.clock = clock or SystemClock()
        self._lifecycle: Lifecycle | None = None
        self._is_open = False
        self._binding: AbstractContextManager[Any] | None = None
        builder = Builder(self._arguments, self.clock)
        self.observability = builder.observability()
        self.queue, self._sagas = builder.queue(self.bind, self.errors)
        self.email = builder.email()
        self.services = builder.services(self.bind)
        self.stores = builder.stores(self.services)
        self.health = builder.health(self.queue, self.email, self.services, self.stores, self.observability)
        self.settings = builder.settings
        self._handed_in = tuple(builder.handed_in)
        builder.finish()

    @property
    def db(self) -> Database:
        """The SQL database. Without a setting, a SQLite file in the home that is opened at first use."""
        return self.services.database

    @property
    def redis(self) -> Redis | RedisCluster:
        """The real client, redis-py's: `await infra.redis.set("user:1", "…", ex=300)`.

        Raises:
            NotConfiguredError: No setting says where Redis is.
        """
        return self.services.redis.client

    @property
    def mongo(self) -> Mongo:
        """MongoDB.

        Raises:
            NotConfiguredError: No setting says where it is.
        """
        return self.services.mongo

    @property
    def pubsub(self) -> PubSub:
        """Topics and subscriptions. Without a setting, in this process."""
        return self.services.pubsub

    @property
    def sagas(self) -> Sagas:
        """The sagas, which the queue's store keeps and its workers drive."""
        return self._sagas()

    @property
    def cache(self) -> Cache[Any]:
        """The cache. Without a setting, a SQLite file in the home that is opened at first use."""
        return self.stores.cache

    @property
    def locks(self) -> Locks:
        """The locks, of all processes that share their store."""
        return self.stores.locks

    @property
    def limits(self) -> RateLimits:
        """The rate limits, of all processes that share their store."""
        return self.stores.limits

    @property
    def breakers(self) -> Breakers:
        """The circuit breakers, of all processes that share their store."""
        return self.stores.breakers

    @property
    def errors(self) -> ErrorTracker:
        """The errors of this process, grouped by what they are: of requests, and of jobs that failed for good."""
        return self.observability.errors

    @property
    def is_open(self) -> bool:
        """Whether the parts can be used: from the end of opening to the beginning of closing."""
        return self._is_open

    async def __aenter__(self) -> Self:
        await self.open()
        self._binding = self.bind()
        self._binding.__enter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        binding, self._binding = self._binding, None
        if binding is not None:
            _unbind(binding)
        await self.close()

    async def open(
        self, *, background: bool = True, start_timeout: Duration | None = None, kind: str | None = None
    ) -> None:
        """Open every part in floor order; when one fails, the ones before it are closed and its error is raised.

        In a process of the kind `worker` or `all`, jobs and subscriptions run from then on; `background=False` leaves
        them to the caller. `start_timeout` comes before the setting of that name; `kind` is what this process is, as
        `undercroft health` calls it, where it is not what the setting `process` says.

        Cancellation: safe; what was opened is closed before it propagates.

        Raises:
            AlreadyOpenError: It is open, opening or closing.
        """
        if self._lifecycle is not None:
            raise AlreadyOpenError("this Infra is open already", hint="open it in one place: the outermost")
        patience_s = self.settings.start_timeout.value if start_timeout is None else to_seconds(start_timeout)
        runs_background = background and self.settings.runs_background
        kind = kind or self.settings.process.value
        parts = tuple(self._parts(kind, runs_background=runs_background, patience_s=patience_s))
        self._lifecycle = Lifecycle(parts, close_timeout=self.settings.close_timeout.value)
        try:
            with self.bind():
                await self._lifecycle.open()
        except BaseException:
            self._lifecycle = None  # no part may have come so far as to do it
            raise

    async def close(self) -> None:
        """Close every part in reverse order, under `close_timeout`; harmless when it is not open.

        Shielded: cancelling the caller does not leave a part half closed.

        Raises:
            ExceptionGroup: Of what the parts raised; every part was attempted all the same.
        """
        if self._lifecycle is not None:
            await self._lifecycle.close()

    def hurry(self) -> None:
        """Cut the closing short: every part still gets a last chance, a quarter of a second. Harmless when not open.

        Does not close by itself; called before `close`, it holds for that one.
        """
        if self._lifecycle is not None:
            self._lifecycle.hurry()

    @contextmanager
    def bind(self) -> Iterator[Self]:
        """Make this the `Infra` that the faces' functions act on, for the block. Does not open it."""
        with bind(self):
            yield self

    def get_part(self, name: str) -> object:
        """Return the part called `name`, for a module's face.

        Raises:
            NotOpenError: This `Infra` is not open.
        """
        if not self._is_open:
            raise NotOpenError(
                f"the Infra that is bound here is not open, so {name!r} cannot be used",
                hint="enter it first: `async with infra:`, or let InfraMiddleware see the server's lifespan",
            )
        return getattr(self, name)

    @asynccontextmanager
    async def only(self, name: str) -> AsyncIterator[Any]:
        """Open one of `queue`, `sagas`, `cache`, `locks`, `limits`, `breakers` by itself, for a command or a script.

        Raises:
            AlreadyOpenError: This is open: the part can be used as it is.
        """
        if self._lifecycle is not None:
            raise AlreadyOpenError("this Infra is open already", hint=f"use infra.{name} as it is")
        connection = self.stores.connection(name) if name in STORES else None
        async with connection or nullcontext(), self.queue if name == "sagas" else getattr(self, name):
            yield getattr(self, name)

    def override(self, **arguments: Unpack[InfraArguments]) -> Infra:
        """Return a new `Infra` built from the same arguments with some replaced; this one stays as it is.

        The environment is the one this read. An engine or transport that was handed in is shared, and can be open in
        one of the two at a time. Checks that were registered later are not taken along.
        """
        shared = {part.argument: part for part in self._handed_in}
        return Infra(**{**self._arguments, **shared, **arguments})

    def describe(self) -> list[PartDescription]:
        """Say which backend each part got and which setting chose it, secrets hidden."""
        settings = self.settings
        described = [
            _description("queue", self.queue.backend, settings.queue),
            *(_description(name, backend, setting) for name, backend, setting in self.stores.described()),
            _description("email", self.email.transport_name, settings.email),
            _description("database", _scheme(settings.database), settings.database),
            _description("redis", "redis", settings.redis),
            _description("mongo", "mongodb", settings.mongo),
            _description("pubsub", self.pubsub.backend, settings.pubsub),
        ]
        # What has no default and no setting is not there; what was handed in has no URL, and is.
        return [part for part in described if part.url or part.part in ("queue", "email", *STORES)]

    async def check(self, *, connect: bool = True) -> list[Finding]:
        """Return what is unsafe, missing or unreachable; an empty list is good news.

        Args:
            connect: Also ask every part whether it answers. When this is not open, it is opened for that and closed
                again.
        """
        findings = list(static_findings(self))
        if connect:
            findings += await live_findings(self)
        return findings

    async def report_services(self) -> list[ServiceReport]:
        """Open each service by itself, ask whether it is reachable, how fast and in which version, and close it.

        Raises:
            AlreadyOpenError: This is open; its health checks tell then.
        """
        if self._lifecycle is not None:
            raise AlreadyOpenError("this Infra is open", hint="ask `await infra.health.run()`")
        return await report_services(self)

    def __repr__(self) -> str:
        parts = ", ".join(f"{part.part}={part.backend}" for part in self.describe())
        return f"Infra({parts}, is_open={self._is_open})"

    def _parts(self, kind: str, *, runs_background: bool, patience_s: float) -> Iterator[Part]:
        settings = self.settings
        yield "infra", self._living()
        if "default" in (settings.queue.origin, settings.email.origin) or self.observability.needs_home:
            yield "home", Home(settings.home.value, origin=settings.home.origin)  # else nothing is kept there
        yield from self.observability.parts()
        for part in self._handed_in:
            yield part.argument, part
        deadline = StartDeadline(patience_s, self.clock)
        mail_and_jobs = (("queue", self.queue), ("email", self.email))
        for name, service in (*self.services.proven_parts(), *self.stores.parts(), *mail_and_jobs):
            yield name, Patient(name, service, deadline=deadline, clock=self.clock)
        yield from self.observability.telling_parts(self, kind)
        yield "infra", self._serving()
        if runs_background:
            grace_s = settings.close_timeout.value * _GRACE_SHARE
            yield "worker", self.queue.worker(grace=grace_s)
            if self.pubsub.subscriptions:
                yield "subscriber", self.pubsub.subscriber(grace=grace_s)

    @asynccontextmanager
    async def _living(self) -> AsyncIterator[None]:
        # Also ends when the loop is torn down around an Infra that nobody closed; it may be opened again then.
        try:
            yield
        finally:
            self._lifecycle = None

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        self._is_open = True
        try:
            yield
        finally:
            self._is_open = False


def current() -> Infra:
    """Return the `Infra` bound here.

    Raises:
        NotBoundError: None is.
    """
    return cast("Infra", bound_source())


def _description(part: str, backend: str, setting: Setting[Any]) -> PartDescription:
    url = "" if setting.value is None else str(setting.value)
    return PartDescription(part=part, backend=backend, url=url, chosen_by=setting.origin)


def _scheme(setting: Setting[Url | None]) -> str:
    return "" if setting.value is None else setting.value.base_scheme


def _unbind(binding: AbstractContextManager[Any]) -> None:
    try:
        binding.__exit__(None, None, None)
    except ValueError:
        # A test fixture may leave in another context than it entered; the binding ended with that one.
        return
