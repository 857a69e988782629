"""The services an `Infra` stands on: built from settings, opened with patience, and asked how they are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from undercroft._core.clock import Clock
from undercroft._core.errors import UndercroftError
from undercroft.app._errors import NotConfiguredError
from undercroft.app._settings import Settings
from undercroft.app._start import Pinged, Proven
from undercroft.connections.mongo import Mongo
from undercroft.connections.pubsub import ClaimStore, MemoryClaims, PubSub, open_engine
from undercroft.connections.redis import RedisConnection
from undercroft.connections.sql import Database, SqlClaims
from undercroft.health import HealthChecks

if TYPE_CHECKING:
    from undercroft.app._infra import Infra


_SELECTION_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceReport:
    """How one service is, at one moment."""

    service: str
    backend: str
    chosen_by: str
    is_reachable: bool
    latency_ms: float | None
    """Of one ping over an open connection; `None` when it is not reachable."""
    version: str | None
    """As the server tells it; `None` where it tells none."""
    problem: str | None


class Services:
    """The connections of one `Infra`. Built without I/O; each is opened and closed by the `Infra`."""

    def __init__(
        self,
        settings: Settings,
        arguments: Mapping[str, Any],
        clock: Clock,
        *,
        bind: Callable[[], AbstractContextManager[object]],
        attempt: Callable[[Callable[[], Any]], Any],
    ) -> None:
        self._settings = settings
        self.database: Database = attempt(lambda: _database_of(settings, clock))
        self._redis: RedisConnection | None = attempt(lambda: _redis_of(settings, clock))
        self._mongo: Mongo | None = attempt(lambda: _mongo_of(settings, clock))
        self.pubsub: PubSub = attempt(lambda: _pubsub_of(settings, arguments, self.database, clock, bind))

    @property
    def redis_if_any(self) -> RedisConnection | None:
        """The connection to Redis; `None` where none is configured, or what is configured is wrong."""
        return self._redis

    @property
    def redis(self) -> RedisConnection:
        """The connection to Redis.

        Raises:
            NotConfiguredError: There is none.
        """
        return cast("RedisConnection", _required(self._redis, "Redis", "REDIS_URL"))

    @property
    def mongo(self) -> Mongo:
        """The connection to MongoDB.

        Raises:
            NotConfiguredError: There is none.
        """
        return cast("Mongo", _required(self._mongo, "MongoDB", "MONGODB_URI"))

    def parts(self) -> Iterator[tuple[str, AbstractAsyncContextManager[object]]]:
        """Yield what is to be opened, in order."""
        yield "database", self.database
        if self._redis is not None:
            yield "redis", self._redis
        if self._mongo is not None:
            yield "mongo", self._mongo
        yield "pubsub", self.pubsub

    def proven_parts(self) -> Iterator[tuple[str, AbstractAsyncContextManager[object]]]:
        """Yield what is to be opened, in order, such that opening fails when the server does not answer."""
        for name, part in self.parts():
            connects_late = name == "redis" or (name == "pubsub" and self.pubsub.backend != "memory")
            yield name, Proven(cast("Pinged", part)) if connects_late else part

    def pools(self) -> Iterator[tuple[str, dict[str, int]]]:
        """Yield the pools that are open, and how many of their connections are in which state."""
        statuses: list[tuple[str, Any]] = [("database", self.database.pool_status)]
        if self._redis is not None:
            statuses.append(("redis", self._redis.pool_status))
        for name, status in statuses:
            yield name, {"in_use": status.in_use, "idle": status.idle, "waiting": status.waiting}

    def register_checks(self, health: HealthChecks) -> None:
        """Add a check for every server that was asked for. Embedded defaults have none: they are this process."""
        if self._settings.database.origin != "default":
            health.register("database", self.database.ping, component_type="datastore")
        if self._redis is not None:
            health.register("redis", _without_answer(self._redis.ping), component_type="datastore")
        if self._mongo is not None:
            health.register("mongo", self._mongo.ping, component_type="datastore")
        if self.pubsub.backend != "memory":
            health.register("pubsub", self.pubsub.ping)


async def report_services(infra: Infra) -> list[ServiceReport]:
    """Ask every service of an `Infra` that is not open: is it reachable, how fast, in which version."""
    described = {part.part: part for part in infra.describe()}
    return [
        await _report(name, part, described[name].backend, described[name].chosen_by, infra.clock)
        for name, part in infra.services.parts()
        if name in described
    ]


async def _report(name: str, part: Any, backend: str, chosen_by: str, clock: Clock) -> ServiceReport:
    latency_ms, version, problem = None, None, None
    try:
        async with part:
            await part.ping()  # connects, where opening did not
            started = clock.monotonic()
            await part.ping()
            latency_ms = round((clock.monotonic() - started) * 1000, 2)
            version = await _version_of(part)
    except UndercroftError as exc:
        problem = exc.message
    return ServiceReport(
        service=name,
        backend=backend,
        chosen_by=chosen_by,
        is_reachable=problem is None,
        latency_ms=latency_ms,
        version=version,
        problem=problem,
    )


async def _version_of(part: Any) -> str | None:
    ask = getattr(part, "server_version", None)
    version = await ask() if ask is not None else None
    return ".".join(map(str, version)) if isinstance(version, tuple) else version


def _database_of(settings: Settings, clock: Clock) -> Database:
    setting = settings.database
    assert setting.value is not None
    return Database(
        setting.value,
        what=setting.origin if setting.origin != "default" else "database",
        replica=settings.database_replica.value,
        clock=clock,
        is_lazy=setting.origin == "default",
    )


def _redis_of(settings: Settings, clock: Clock) -> RedisConnection | None:
    if settings.redis.value is None:
        return None
    return RedisConnection(settings.redis.value, what=settings.redis.origin, clock=clock)


def _mongo_of(settings: Settings, clock: Clock) -> Mongo | None:
    if settings.mongo.value is None:
        return None
    # pymongo cannot be stopped while it looks for a server, and what it says afterwards is better than our "in time".
    selection_s = min(_SELECTION_S, max(settings.start_timeout.value / 2, 0.1))
    return Mongo(settings.mongo.value, what=settings.mongo.origin, server_selection_timeout=selection_s, clock=clock)


def _pubsub_of(
    settings: Settings,
    arguments: Mapping[str, Any],
    database: Database,
    clock: Clock,
    bind: Callable[[], AbstractContextManager[object]],
) -> PubSub:
    setting = settings.pubsub
    assert setting.value is not None
    engine = open_engine(setting.value, what=setting.origin, clock=clock)
    # Several processes take messages of one subscription, so what was handled is remembered where all of them look.
    is_shared = setting.value.scheme != "memory" and settings.database.origin != "default"
    claims = cast("ClaimStore", SqlClaims(database)) if is_shared else MemoryClaims(clock=clock)
    return PubSub(engine, arguments["topics"], arguments["subscriptions"], claims=claims, clock=clock, bind=bind)


def _without_answer(ping: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        await ping()

    return check


def _required(part: object, what: str, variable: str) -> object:
    if part is None:
        raise NotConfiguredError(
            f"{what} is not configured", hint=f"set {variable}, or give Infra the argument of that part"
        )
    return part
