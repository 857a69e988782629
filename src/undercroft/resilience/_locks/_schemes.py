"""The stores of locks by URL scheme."""

from __future__ import annotations

from typing import TYPE_CHECKING

from undercroft._core.clock import Clock
from undercroft._core.stores import open_store, store_schemes
from undercroft._core.url import Url
from undercroft.resilience._locks._protocol import LockStore

if TYPE_CHECKING:
    from undercroft.connections.redis import RedisConnection

_HERE = "undercroft.resilience._locks"
SCHEMES = store_schemes(
    "store of locks",
    memory=f"{_HERE}.memory:MemoryLocks",
    sqlite=f"{_HERE}.sqlite:SqliteLocks",
    redis=f"{_HERE}.redis:RedisLocks",
)


def open_lock_store(
    url: Url | str, *, what: str = "locks", clock: Clock | None = None, redis: RedisConnection | None = None
) -> LockStore:
    """Build the store that `url` names. Connects to nothing yet; `what` is the setting it came from.

    Args:
        redis: For a Redis URL: a connection that is shared, and opened and closed by somebody else.

    Raises:
        ConfigError: There is no store for the scheme, or an option of the URL is wrong.
        MissingExtraError: A package that the store needs is not installed.
    """
    place = Url.parse(url, what=what) if isinstance(url, str) else url
    store: LockStore = open_store(SCHEMES, place, what=what, clock=clock, redis=redis)
    return store
