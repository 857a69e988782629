"""The stores of limits by URL scheme."""

from __future__ import annotations

from typing import TYPE_CHECKING

from undercroft._core.clock import Clock
from undercroft._core.extras import Schemes
from undercroft._core.url import Url
from undercroft.ratelimit._protocol import LimitStore

if TYPE_CHECKING:
    from undercroft.connections.redis import RedisConnection

_REDIS = "undercroft.ratelimit.redis:RedisLimits"
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
    "rate limits",
    {
        "memory": "undercroft.ratelimit.memory:MemoryLimits",
        "sqlite": "undercroft.ratelimit.sqlite:SqliteLimits",
        **dict.fromkeys(_REDIS_SCHEMES, _REDIS),
    },
)


def open_limits(url: Url, *, what: str, clock: Clock | None = None, redis: RedisConnection | None = None) -> LimitStore:
    """Build the store that `url` names. Connects to nothing yet; `what` is the setting it came from.

    Args:
        redis: A connection to what `url` names that somebody else opens and closes; by default one is made.

    Raises:
        ConfigError: There is no store for the scheme, or an option of the URL is wrong.
        MissingExtraError: A package that the store needs is not installed.
    """
    store: LimitStore = SCHEMES.load(url, what=what).from_url(url, what=what, clock=clock, redis=redis)
    return store
