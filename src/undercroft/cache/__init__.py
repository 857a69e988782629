"""Values that are dear to get, kept for a time: typed, computed once however many ask, forgotten when they are wrong.

    from undercroft.cache import cached, create_cache

    async with create_cache("redis://localhost:6379/0", default_ttl="5m") as cache:
        await cache.set("greeting", "hello", ttl="1h")
        await cache.get("greeting")                                     # "hello", or None
        await cache.get_or_set("report", make_report, ttl="10m", tags=["orders"], stale="1m")
        await cache.invalidate_tags("orders")                           # also what is being computed now
        users = cache.of(User)                                          # Cache[User], under "User:…"

    @cached(ttl="5m", key="user:{user_id}")                             # the cache of the bound Infra
    async def load_user(user_id: int) -> User: ...

Values are stored as JSON, never pickled; a ttl is needed, if only `NO_EXPIRY`. Reads do not fail because of the store.
"""

from __future__ import annotations

from typing import Any, TypeVar, overload

from undercroft._core.clock import Clock
from undercroft._core.durations import Duration
from undercroft._core.url import Url
from undercroft.cache._cached import CachedFunction, cached
from undercroft.cache._counts import CacheStats
from undercroft.cache._errors import (
    CachedFunctionError,
    CacheKeyError,
    CacheMissError,
    CacheOptionError,
    CacheUnavailableError,
    CacheValueError,
    ComputeCancelledError,
    ComputeCycleError,
    MissingTTLError,
)
from undercroft.cache._facade import Cache
from undercroft.cache._face import get_cache
from undercroft.cache._lifetimes import NO_EXPIRY, Ttl
from undercroft.cache._missing import MISSING
from undercroft.cache._protocol import (
    NOT_NOW,
    CacheBackend,
    Changes,
    Item,
    KeyPage,
    NotNow,
    Read,
    ReadsNow,
    Statistics,
    Tell,
)
from undercroft.cache._schemes import open_backend
from undercroft.cache._tier import LocalTier

__all__ = [
    "Cache",
    "CacheBackend",
    "CacheKeyError",
    "CacheMissError",
    "CacheOptionError",
    "CacheStats",
    "CacheUnavailableError",
    "CacheValueError",
    "CachedFunction",
    "CachedFunctionError",
    "Changes",
    "ComputeCancelledError",
    "ComputeCycleError",
    "Item",
    "KeyPage",
    "LocalTier",
    "MISSING",
    "MissingTTLError",
    "NOT_NOW",
    "NO_EXPIRY",
    "NotNow",
    "Read",
    "ReadsNow",
    "Statistics",
    "Tell",
    "Ttl",
    "cached",
    "create_cache",
    "get_cache",
    "open_backend",
]

T = TypeVar("T")


@overload
def create_cache(
    url: str = ...,
    *,
    namespace: str = ...,
    default_ttl: Ttl | None = ...,
    jitter: float = ...,
    version: int = ...,
    timeout: Duration = ...,
    local: LocalTier | None = ...,
    clock: Clock | None = ...,
) -> Cache[Any]: ...


@overload
def create_cache(
    url: str = ...,
    *,
    schema: type[T],
    namespace: str = ...,
    default_ttl: Ttl | None = ...,
    jitter: float = ...,
    version: int = ...,
    timeout: Duration = ...,
    local: LocalTier | None = ...,
    clock: Clock | None = ...,
) -> Cache[T]: ...


def create_cache(
    url: str = "memory://",
    *,
    schema: Any = Any,
    namespace: str = "app",
    default_ttl: Ttl | None = None,
    jitter: float = 0.0,
    version: int = 1,
    timeout: Duration = "250ms",
    local: LocalTier | None = None,
    clock: Clock | None = None,
) -> Cache[Any]:
    """Make a cache without an `Infra`: `async with create_cache("redis://…", default_ttl="5m") as cache:`.

    Args:
        url: `memory://`, `sqlite:///cache.db`, `redis://…`, or `off://`, which keeps nothing.
        local: What may be kept in this process in front of Redis.

    For the others see `Cache`. Connects to nothing yet.
    """
    backend = open_backend(Url.parse(url, what="cache"), what="cache", clock=clock, local=local)
    return Cache(
        backend,
        namespace=namespace,
        default_ttl=default_ttl,
        jitter=jitter,
        schema=schema,
        version=version,
        timeout=timeout,
        clock=clock,
    )
