"""The rate limits' public types, as a type checker sees them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import assert_type

from undercroft.ratelimit import (
    AUTH_RATE_LIMIT,
    Concurrency,
    ConcurrencyLimiter,
    Decision,
    Failure,
    FixedWindow,
    FixedWindowLimiter,
    Gcra,
    GcraLimiter,
    LeakyBucket,
    LeakyBucketLimiter,
    LimitedKey,
    LimitStore,
    Quota,
    QuotaLimiter,
    Rate,
    RateLimitedError,
    RateLimits,
    RatePolicy,
    SlidingWindow,
    SlidingWindowLimiter,
    TokenBucket,
    TokenBucketLimiter,
    check_rate_limit,
    create_rate_limits,
    fingerprint,
    secret_key,
)
from undercroft.ratelimit.memory import MemoryLimits
from undercroft.ratelimit.redis import RedisLimits
from undercroft.ratelimit.sqlite import SqliteLimits

# limits are values
bucket = TokenBucket(10, "5/s")
TokenBucket(capacity=10, refill=Rate(5, per="1m"))
TokenBucket(10, 2.5)
TokenBucket("10")  # E: arg-type
TokenBucket()  # E: call-arg
bucket.capacity = 3  # E: misc
SlidingWindow(5, "1m", kind="counter", precision=20)
SlidingWindow(5, "1m", kind="fog")  # E: arg-type
SlidingWindow(5)  # E: call-arg
Quota(5, "month", tz="Europe/Berlin", warn_at=None)
Quota(5, "fortnight")  # E: arg-type
Quota(5, "day", "UTC", 1)  # E: arg-type
Gcra("5/s", burst=3)
LeakyBucket(5, "1/s")
FixedWindow(5, 60)
Concurrency(5, lease="5m")

# policies
api = RatePolicy("api", [bucket, SlidingWindow(5, "1m")], tiers={"pro": TokenBucket(100)}, fail="open", dry_run=True)
RatePolicy("api", bucket)
RatePolicy("api", "5/s")  # E: arg-type
RatePolicy("api", bucket, fail="maybe")  # E: arg-type
RatePolicy("api", tiers={"pro": 5})  # E: dict-item
api.name = "other"  # E: misc
assert_type(AUTH_RATE_LIMIT, RatePolicy)

# making
limits = create_rate_limits("memory://", [api])
assert_type(limits, RateLimits)
assert_type(limits.policies, Mapping[str, RatePolicy])
assert_type(limits.backend, str)
create_rate_limits(policies=[api], timeout="100ms", block_locally=0)
create_rate_limits(6379)  # E: arg-type
create_rate_limits("memory://", ["api"])  # E: list-item

# every store is one
memory: LimitStore = MemoryLimits()


def stores(redis: RedisLimits, sqlite: SqliteLimits) -> list[LimitStore]:
    return [redis, sqlite]


async def use() -> None:
    async with limits as opened:
        assert_type(opened, RateLimits)
        decision = await opened.check("api", "user:7", tier="pro", cost=2)
        assert_type(decision, Decision)
        assert_type(decision.allowed, bool)
        assert_type(decision.reset_at, datetime)
        assert_type(decision.failure, Failure | None)
        assert_type(decision.decisions, tuple[Decision, ...])
        decision.allowed = True  # E: misc
        await opened.check(api, "user:7")
        await opened.check("api")  # E: call-arg
        await opened.check("api", 7)  # E: arg-type
        await opened.check("api", "user:7", "pro")  # E: call-arg
        assert_type(await opened.limited("api", limit=10), list[LimitedKey])
        assert_type(await opened.release("api", "user:7", decision.token or ""), bool)
        await opened.reset("api", "user:7")
        assert_type(await check_rate_limit("user:7", 5, "1m"), Decision)


async def limiters() -> None:
    limiter = TokenBucketLimiter(capacity=10, refill="5/s", name="search", store=limits, fail="closed")
    assert_type(await limiter.check("user:7"), Decision)
    assert_type(await limiter.consume("user:7", cost=2), Decision)
    assert_type(await limiter.require("user:7"), Decision)
    assert_type(await limiter.peek("user:7"), Decision)
    await limiter.refund("user:7", 2)
    SlidingWindowLimiter(5, "1m", exact=False)
    FixedWindowLimiter(limit=5, window=60)
    GcraLimiter("5/s")
    LeakyBucketLimiter(5, "1/s")
    QuotaLimiter(5, "week", week_start="sunday")
    SlidingWindowLimiter(5, "1m", store="redis://h")  # E: arg-type
    TokenBucketLimiter(10, "5/s", "name")  # E: call-arg
    async with ConcurrencyLimiter(3).slot("user:7", wait="1s") as held:
        assert_type(held, Decision)


# a decorated function keeps its signature
@TokenBucketLimiter(10).limited(lambda user, *, loud: f"user:{user}")
async def greet(user: str, *, loud: bool = False) -> int:
    return 1


async def greeting() -> None:
    assert_type(await greet("ann", loud=True), int)
    await greet(7)  # E: arg-type
    await greet("ann", True)  # E: call-arg


# errors and keys
def errors(error: RateLimitedError) -> None:
    assert_type(error.decision, Decision)
    assert_type(error.retry_after, float | None)
    assert_type(fingerprint("a"), str)
    assert_type(secret_key("a"), str)
    secret_key(b"a")  # E: arg-type
