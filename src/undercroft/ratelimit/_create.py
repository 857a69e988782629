"""Limits without an `Infra`."""

from __future__ import annotations

from collections.abc import Iterable

from undercroft._core.clock import Clock
from undercroft._core.durations import Duration
from undercroft._core.url import Url
from undercroft.ratelimit._facade import RateLimits
from undercroft.ratelimit._policies import RatePolicy
from undercroft.ratelimit._schemes import open_limits


def create_rate_limits(
    url: Url | str = "memory://",
    policies: Iterable[RatePolicy] = (),
    *,
    timeout: Duration = "250ms",
    block_locally: Duration = "1s",
    clock: Clock | None = None,
) -> RateLimits:
    """Return limits over the store of `url`, to be used by `async with`. Connects to nothing yet.

    Args:
        url: `memory://`, `sqlite:///var/limits.db`, `redis://cache:6379/0`, …
        policies: Those that can be named; see `RateLimits`.
        timeout: See `RateLimits`.
        block_locally: See `RateLimits`.

    Raises:
        ConfigError: There is no store for the URL, or an option of it is wrong.
        MissingExtraError: A package that the store needs is not installed.
    """
    what = "create_rate_limits"
    store = open_limits(Url.parse(url, what=what) if isinstance(url, str) else url, what=what, clock=clock)
    return RateLimits(store, policies, timeout=timeout, block_locally=block_locally, clock=clock)
