"""The stores of limits by URL scheme."""

from __future__ import annotations

from typing import TYPE_CHECKING

from undercroft._core.clock import Clock
from undercroft._core.stores import open_store, store_schemes
from undercroft._core.url import Url
from undercroft.ratelimit._protocol import LimitStore

if TYPE_CHECKING:
    from undercroft.connections.redis import RedisConnection

SCHEMES = store_schemes(
    "rate limits",
    memory="undercroft.ratelimit.memory:MemoryLimits",
    sqlite="undercroft.ratelimit.sqlite:SqliteLimits",
    redis="undercroft.ratelimit.redis:RedisLimits",
)


def open_limits(url: Url, *, what: str, clock: Clock | None = None, redis: RedisConnection | None = None) -> LimitStore:
    """Build the store that `url` names. Connects to nothing yet; `what` is the setting it came from.

    Args:
        redis: A connection to what `url` names that somebody else opens and closes; by default one is made.

    Raises:
        ConfigError: There is no store for the scheme, or an option of the URL is wrong.
        MissingExtraError: A package that the store needs is not installed.
    """
    store: LimitStore = open_store(SCHEMES, url, what=what, clock=clock, redis=redis)
    return store
