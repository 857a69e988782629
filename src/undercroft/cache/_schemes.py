"""The cache's backends by URL scheme."""

from __future__ import annotations

from typing import TYPE_CHECKING

from undercroft._core.clock import Clock
from undercroft._core.stores import open_store, store_schemes
from undercroft._core.url import Url
from undercroft.cache._protocol import CacheBackend
from undercroft.cache._tier import LocalTier, TieredCache

if TYPE_CHECKING:
    from undercroft.connections.redis import RedisConnection

SCHEMES = store_schemes(
    "cache",
    memory="undercroft.cache.memory:MemoryCache",
    off="undercroft.cache.off:OffCache",
    sqlite="undercroft.cache.sqlite:SqliteCache",
    redis="undercroft.cache.redis:RedisCache",
)


def open_backend(
    url: Url,
    *,
    what: str,
    clock: Clock | None = None,
    redis: RedisConnection | None = None,
    local: LocalTier | None = None,
) -> CacheBackend:
    """Build the backend that `url` names. Connects to nothing yet.

    Args:
        what: The setting the URL came from.
        redis: A connection to use for a Redis URL; opened and closed by whoever made it.
        local: What may be kept in this process in front of a shared store.

    Raises:
        ConfigError: There is no backend for the scheme, an option of the URL is wrong, or nothing can stand in front.
        MissingExtraError: A package that the backend needs is not installed.
    """
    backend: CacheBackend = open_store(SCHEMES, url, what=what, clock=clock, redis=redis)
    return backend if local is None else TieredCache(backend, local, clock=clock)
