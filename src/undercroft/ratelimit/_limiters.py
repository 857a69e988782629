"""Limiters: one limit each, ready to be used by key."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar

from undercroft._core.bound import BoundPart
from undercroft._core.durations import Duration, to_seconds
from undercroft.ratelimit._algorithms import (
    Concurrency,
    FixedWindow,
    Gcra,
    LeakyBucket,
    Limit,
    Quota,
    SlidingWindow,
    TokenBucket,
)
from undercroft.ratelimit._calendar import Period
from undercroft.ratelimit._facade import RateLimits, required
from undercroft.ratelimit._policies import RatePolicy
from undercroft.ratelimit._rate import RateLike
from undercroft.ratelimit._values import Decision, Fail

P = ParamSpec("P")
T = TypeVar("T")
_bound = BoundPart[RateLimits]("limits")


class Limiter:
    """One limit, used by key. Immutable; lives as long as you like, and needs no closing.

    Limiters of one name count together where their windows (of buckets: their rates) are the same. Without a name it is
    that of the kind, so name those that must count apart.
    """

    def __init__(
        self,
        limit: Limit,
        *,
        name: str,
        store: RateLimits | None = None,
        fail: Fail = "local",
        dry_run: bool = False,
        timeout: Duration | None = None,
    ) -> None:
        """Take the settings.

        Args:
            limit: Any kind.
            store: Where it is counted; by default the limits of the bound `Infra`, looked up at each call.
            fail: What happens when the store does not answer: `local` (the default) decides by this process alone,
                `closed` refuses, `open` allows. See `RatePolicy`.
            dry_run: Decide and count, but refuse nothing.
            timeout: How long the store may take; by default that of `store`.

        Raises:
            RateLimitDefinitionError: Something of it is not valid.
        """
        self.policy = RatePolicy(name, limit, fail=fail, dry_run=dry_run, timeout=timeout)
        self.store = store
        self._plan = self.policy.plan()

    @property
    def name(self) -> str:
        """The name under which it counts."""
        return self.policy.name

    async def check(self, key: str, cost: int = 1) -> Decision:
        """Count a call if the limit allows it, and tell what is left; see `RateLimits.check`."""
        return await (self.store or _bound.require()).check_plan(self._plan, key, cost)

    async def consume(self, key: str, cost: int = 1) -> Decision:
        """As `check`."""
        return await (self.store or _bound.require()).check_plan(self._plan, key, cost)

    async def require(self, key: str, cost: int = 1) -> Decision:
        """As `check`, and raise when the call is not allowed.

        Raises:
            RateLimitedError: The limit is reached; `retry_after` says when the same call may go through.
            RateLimitUnavailableError: The store did not answer, and the limiter fails closed.
        """
        return required(await self.check(key, cost))

    async def peek(self, key: str, cost: int = 1) -> Decision:
        """Tell what `check` would say, and what is left now, and count nothing."""
        return await self._limits().peek_plan(self._plan, key, cost)

    async def refund(self, key: str, cost: int = 1) -> None:
        """Give back what a call cost; see `RateLimits.refund`."""
        await self._limits().refund_plan(self._plan, key, cost)

    async def reset(self, key: str) -> None:
        """Forget all that was counted for a key."""
        await self._limits().reset(self.policy, key)

    def limited(
        self, key: str | Callable[..., str], cost: int = 1
    ) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
        """Decorate an async function so that each call must pass first; raises as `require` does.

        Args:
            key: The key, or a function that makes it of the call's arguments.
        """

        def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
            @functools.wraps(function)
            async def limited(*args: P.args, **kwargs: P.kwargs) -> T:
                await self.require(key if isinstance(key, str) else key(*args, **kwargs), cost)
                return await function(*args, **kwargs)

            return limited

        return decorate

    def _limits(self) -> RateLimits:
        return self.store or _bound.require()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}: {self.policy.limits}>"


class TokenBucketLimiter(Limiter):
    """Bursts of up to `capacity`, and `refill` in the long run; see `TokenBucket`."""

    def __init__(
        self,
        capacity: int,
        refill: RateLike | None = None,
        *,
        name: str = "token_bucket",
        store: RateLimits | None = None,
        fail: Fail = "local",
        dry_run: bool = False,
        timeout: Duration | None = None,
    ) -> None:
        limit = TokenBucket(capacity, refill)
        super().__init__(limit, name=name, store=store, fail=fail, dry_run=dry_run, timeout=timeout)


class GcraLimiter(Limiter):
    """Calls spaced evenly at `rate`, of which `burst` may come at once; see `Gcra`."""

    def __init__(
        self,
        rate: RateLike,
        burst: int = 1,
        *,
        name: str = "gcra",
        store: RateLimits | None = None,
        fail: Fail = "local",
        dry_run: bool = False,
        timeout: Duration | None = None,
    ) -> None:
        limit = Gcra(rate, burst)
        super().__init__(limit, name=name, store=store, fail=fail, dry_run=dry_run, timeout=timeout)


class LeakyBucketLimiter(Limiter):
    """A bucket that leaks at `leak` and refuses what would make it run over; see `LeakyBucket`."""

    def __init__(
        self,
        capacity: int,
        leak: RateLike,
        *,
        name: str = "leaky_bucket",
        store: RateLimits | None = None,
        fail: Fail = "local",
        dry_run: bool = False,
        timeout: Duration | None = None,
    ) -> None:
        limit = LeakyBucket(capacity, leak)
        super().__init__(limit, name=name, store=store, fail=fail, dry_run=dry_run, timeout=timeout)


class FixedWindowLimiter(Limiter):
    """At most `limit` in each window of the clock; see `FixedWindow`."""

    def __init__(
        self,
        limit: int,
        window: Duration,
        *,
        name: str = "fixed_window",
        store: RateLimits | None = None,
        fail: Fail = "local",
        dry_run: bool = False,
        timeout: Duration | None = None,
    ) -> None:
        kind = FixedWindow(limit, window)
        super().__init__(kind, name=name, store=store, fail=fail, dry_run=dry_run, timeout=timeout)


class SlidingWindowLimiter(Limiter):
    """At most `limit` in every window, wherever it begins; see `SlidingWindow`.

    Args:
        exact: Remember every call. `False` counts by sub-windows: little state, never more than the limit.
        precision: How many sub-windows, then.
    """

    def __init__(
        self,
        limit: int,
        window: Duration,
        *,
        exact: bool = True,
        precision: int = 10,
        name: str = "sliding_window",
        store: RateLimits | None = None,
        fail: Fail = "local",
        dry_run: bool = False,
        timeout: Duration | None = None,
    ) -> None:
        kind = SlidingWindow(limit, window, kind="log" if exact else "counter", precision=precision)
        super().__init__(kind, name=name, store=store, fail=fail, dry_run=dry_run, timeout=timeout)


class QuotaLimiter(Limiter):
    """At most `limit` in each period of a calendar, or in every stretch of that length; see `Quota`."""

    def __init__(
        self,
        limit: int,
        period: Period,
        *,
        tz: str = "UTC",
        rolling: bool = False,
        week_start: str = "monday",
        warn_at: float | None = 0.8,
        name: str = "quota",
        store: RateLimits | None = None,
        fail: Fail = "local",
        dry_run: bool = False,
        timeout: Duration | None = None,
    ) -> None:
        kind = Quota(limit, period, tz=tz, rolling=rolling, week_start=week_start, warn_at=warn_at)
        super().__init__(kind, name=name, store=store, fail=fail, dry_run=dry_run, timeout=timeout)


class ConcurrencyLimiter(Limiter):
    """At most `limit` at work at once; see `Concurrency`. `slot` takes one for a block; a `check` that is allowed takes
    one as well, whose `token` is for `release`."""

    def __init__(
        self,
        limit: int,
        *,
        lease: Duration = 60,
        name: str = "concurrency",
        store: RateLimits | None = None,
        fail: Fail = "local",
        dry_run: bool = False,
        timeout: Duration | None = None,
    ) -> None:
        kind = Concurrency(limit, lease)
        super().__init__(kind, name=name, store=store, fail=fail, dry_run=dry_run, timeout=timeout)

    async def release(self, key: str, token: str) -> bool:
        """Give a slot back; false when its lease had ended. See `RateLimits.release`."""
        return await self._limits().release_plan(self._plan, key, token)

    async def extend(self, key: str, token: str) -> bool:
        """Have the lease of a slot begin anew; false when it has ended, and somebody else may have the slot."""
        return await self._limits().extend_plan(self._plan, key, token)

    @asynccontextmanager
    async def slot(self, key: str, *, wait: Duration = 0) -> AsyncIterator[Decision]:
        """Hold a slot for the block, and give it back after it, however it ends.

        The lease is not extended by itself: in a block that may last longer, call `extend`.

        Args:
            wait: How long to wait for one; by asking again, so that who waits longest need not be first.

        Raises:
            RateLimitedError: None is free. After a wait it is `SlotTimeoutError`.
            RateLimitUnavailableError: The store did not answer, and the limiter fails closed.
        """
        limits = self._limits()
        decision = await limits.acquire_plan(self._plan, key, wait_s=to_seconds(wait, name="wait"))
        try:
            yield decision
        finally:
            if decision.token is not None:
                await limits.give_back(self._plan, key, decision.token)


async def check_rate_limit(key: str, limit: int, window: Duration) -> Decision:
    """Count a call if there were fewer than `limit` in the `window` before it, in the limits of the bound `Infra`.

    An exact sliding window under the name `check_rate_limit`: the same key with another window counts apart. When the
    store does not answer, this process decides alone.

    Raises:
        NotBoundError: No `Infra` is bound here.
        RateLimitDefinitionError: The limit, window or key is not valid.
    """
    return await _bound.require().check_plan(_policy_of(limit, window).plan(), key)


@functools.lru_cache(maxsize=256)
def _policy_of(limit: int, window: Duration) -> RatePolicy:
    return RatePolicy("check_rate_limit", SlidingWindow(limit, window))
