"""The cache, the locks, the rate limits and the breakers of an `Infra`, on one Redis where that is set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

from undercroft._core.clock import Clock
from undercroft._core.url import Url
from undercroft.app._environment import Setting
from undercroft.app._services import Services
from undercroft.app._settings import Settings
from undercroft.cache import Cache, CacheBackend, open_backend
from undercroft.connections.redis import RedisConnection
from undercroft.health import HealthChecks
from undercroft.ratelimit import LimitStore, RateLimits, RatePolicy, open_limits
from undercroft.resilience import (
    Breakers,
    Locks,
    open_breaker_store,
    open_lock_store,
)

NAMES = ("cache", "locks", "limits", "breakers")


class Stores:
    """Built without I/O; each part is opened and closed by the `Infra`, at its first use where nothing was set.

    A store whose URL is that of Redis itself has the connection of `infra.redis`, and opens none of its own.

    Args:
        given: The stores that were handed in, by their argument; they are used as they are.
    """

    def __init__(
        self,
        settings: Settings,
        arguments: Mapping[str, Any],
        services: Services,
        clock: Clock,
        *,
        given: Mapping[str, object],
        attempt: Callable[[Callable[[], Any]], Any],
    ) -> None:
        self._settings = settings
        self._services = services
        self._clock = clock
        self._given = given

        def made(name: str, make: Callable[[], Any]) -> Any:
            # Where the URL of Redis is wrong, that was told, and once is enough.
            return None if self._is_on_redis(name) and self.connection(name) is None else attempt(make)

        self.cache: Cache[Any] = made("cache", lambda: self._cache(arguments))
        self.locks: Locks = made("locks", lambda: Locks(self._store("locks", open_lock_store), clock=clock))
        self.limits: RateLimits = made("limits", lambda: self._limits(arguments["rate_policies"]))
        self.breakers: Breakers = made(
            "breakers", lambda: Breakers(self._store("breakers", open_breaker_store), clock=clock)
        )

    def parts(self) -> Iterator[tuple[str, AbstractAsyncContextManager[object]]]:
        """Yield what is to be opened, in order."""
        for name in NAMES:
            yield name, getattr(self, name)

    def described(self) -> Iterator[tuple[str, str, Setting[Url]]]:
        """Yield the parts, what each is kept by, and the setting that says so."""
        for name in NAMES:
            yield name, getattr(self, name).backend, self.setting(name)

    def setting(self, name: str) -> Setting[Url]:
        """Return the setting that says where a part is kept."""
        return cast("Setting[Url]", getattr(self._settings, name))

    def connection(self, name: str) -> RedisConnection | None:
        """Return the connection that a part has from the services; `None` when it opens what it needs by itself."""
        return self._services.redis_if_any if self._is_on_redis(name) else None

    def _is_on_redis(self, name: str) -> bool:
        return name not in self._given and self.setting(name).value == self._settings.redis.value

    def register_checks(self, health: HealthChecks) -> None:
        """Add a check for each store that is a server of its own. What is in this machine's files has none."""
        for name in NAMES:
            is_own = self.setting(name).origin != "default" and self.connection(name) is None
            if is_own and getattr(self, name).backend == "redis":
                # Without locks nothing goes on that needs one; the others have a way to do without their store.
                health.register(name, getattr(self, name).ping, critical=name == "locks", component_type="datastore")

    def _store(self, name: str, open_store: Callable[..., Any]) -> Any:
        if name in self._given:
            return self._given[name]
        setting = self.setting(name)
        what = name if setting.origin == "default" else setting.origin
        return open_store(setting.value, what=what, clock=self._clock, redis=self.connection(name))

    def _cache(self, arguments: Mapping[str, Any]) -> Cache[Any]:
        def open_store(url: Url, **options: Any) -> CacheBackend:
            return open_backend(url, local=arguments["cache_local"], **options)

        backend: CacheBackend = self._store("cache", open_store)
        return Cache(
            backend,
            namespace=self._settings.cache_namespace.value,
            default_ttl=self._settings.cache_ttl.value,
            clock=self._clock,
        )

    def _limits(self, policies: Iterable[RatePolicy]) -> RateLimits:
        store: LimitStore = self._store("limits", open_limits)
        return RateLimits(store, policies, clock=self._clock)
