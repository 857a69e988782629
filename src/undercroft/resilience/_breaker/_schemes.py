"""The stores of breakers by URL scheme."""

from __future__ import annotations

from typing import TYPE_CHECKING

from undercroft._core.clock import Clock
from undercroft._core.durations import Duration
from undercroft._core.stores import open_store, store_schemes
from undercroft._core.url import Url
from undercroft.resilience._breaker._breakers import Breakers
from undercroft.resilience._breaker._protocol import BreakerStore

if TYPE_CHECKING:
    from undercroft.connections.redis import RedisConnection

_HERE = "undercroft.resilience._breaker"
SCHEMES = store_schemes(
    "store of breakers",
    memory=f"{_HERE}.memory:MemoryBreakers",
    sqlite=f"{_HERE}.sqlite:SqliteBreakers",
    redis=f"{_HERE}.redis:RedisBreakers",
)


def open_breaker_store(
    url: Url, *, what: str, clock: Clock | None = None, redis: RedisConnection | None = None
) -> BreakerStore:
    """Build the store that `url` names. Connects to nothing yet.

    Args:
        what: The setting the URL came from.
        redis: A connection to share, which somebody else opens and closes; for Redis URLs.

    Raises:
        ConfigError: There is no store for the scheme, or an option of the URL is wrong.
        MissingExtraError: A package that it needs is not installed.
    """
    store: BreakerStore = open_store(SCHEMES, url, what=what, clock=clock, redis=redis)
    return store


def create_breakers(
    url: Url | str = "memory://",
    *,
    timeout: Duration = "250ms",
    look_every: Duration = "1s",
    clock: Clock | None = None,
    redis: RedisConnection | None = None,
) -> Breakers:
    """Return the `Breakers` whose store `url` names; see there. Use it inside `async with`.

    `memory://` is of this process, `sqlite:///var/breakers.db` of this machine, `redis://…` of all who use that Redis.

    Raises:
        ConfigError: There is no store for the scheme, or an option of the URL is wrong.
        MissingExtraError: A package that the store needs is not installed.
    """
    parsed = Url.parse(url, what="breakers") if isinstance(url, str) else url
    store = open_breaker_store(parsed, what="breakers", clock=clock, redis=redis)
    return Breakers(store, timeout=timeout, look_every=look_every, clock=clock)
