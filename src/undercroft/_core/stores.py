"""Stores that there are three of: in memory, in a SQLite file, in Redis; and how their URLs find them."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from undercroft._core.clock import Clock
from undercroft._core.errors import MissingExtraError
from undercroft._core.extras import Schemes
from undercroft._core.url import Url

# Those of `undercroft.connections.redis`, which is above and not imported for their names; a test compares them.
REDIS_SCHEMES = (
    "redis",
    "rediss",
    "redis+unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)


def store_schemes(part: str, *, redis: str, **others: str) -> Schemes:
    """Return the schemes of a part: those of Redis for one class, and the others by their names."""
    return Schemes(part, {**others, **dict.fromkeys(REDIS_SCHEMES, redis)})


def open_store(schemes: Schemes, url: Url, *, what: str, clock: Clock | None, redis: object = None) -> Any:
    """Build the store that `url` names. Connects to nothing yet.

    Args:
        what: The setting the URL came from.
        redis: A `RedisConnection` to what `url` names, that somebody else opens and closes; by default one is made.

    Raises:
        ConfigError: There is no store for the scheme, or an option of the URL is wrong.
        MissingExtraError: A package that the store needs is not installed.
    """
    if url.scheme not in REDIS_SCHEMES:
        return schemes.load(url, what=what).from_url(url, what=what, clock=clock)
    if find_spec("redis") is None:  # looked for, not imported: its import is for whoever connects
        raise MissingExtraError(
            f"{what}: {schemes.part} on {url.scheme}:// needs the package 'redis', which is not installed",
            hint="pip install 'undercroft[redis]'",
        )
    return schemes.load(url, what=what).from_url(url, what=what, clock=clock, redis=redis)
