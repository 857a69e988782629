"""The cache's backends by URL scheme."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from undercroft._core.clock import Clock
from undercroft._core.errors import MissingExtraError
from undercroft._core.extras import Schemes
from undercroft._core.url import Url
from undercroft.cache._protocol import CacheBackend
from undercroft.cache._tier import LocalTier, TieredCache

if TYPE_CHECKING:
    from undercroft.connections.redis import RedisConnection

_REDIS = "undercroft.cache.redis:RedisCache"
# Those of `undercroft.connections.redis`, which is not imported for their names; a test compares them.
_REDIS_SCHEMES = (
    "redis",
    "rediss",
    "redis+unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)
SCHEMES = Schemes(
    "cache",
    {
        "memory": "undercroft.cache.memory:MemoryCache",
        "off": "undercroft.cache.off:OffCache",
        "sqlite": "undercroft.cache.sqlite:SqliteCache",
        **dict.fromkeys(_REDIS_SCHEMES, _REDIS),
    },
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
    options: dict[str, Any] = {"what": what, "clock": clock}
    if url.scheme in _REDIS_SCHEMES:
        _require_redis(f"{what}: a cache on {url.scheme}://")
        options["redis"] = redis
    backend: CacheBackend = SCHEMES.load(url, what=what).from_url(url, **options)
    return backend if local is None else TieredCache(backend, local, clock=clock)


def _require_redis(needed_for: str) -> None:
    if find_spec("redis") is None:
        raise MissingExtraError(
            f"{needed_for} needs the package 'redis', which is not installed", hint="pip install 'undercroft[redis]'"
        )
