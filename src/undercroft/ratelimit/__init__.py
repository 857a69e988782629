"""Rate limits: how much of something a caller may do, decided in one step by one store for all processes.

    from undercroft.ratelimit import RatePolicy, SlidingWindow, TokenBucket, TokenBucketLimiter, create_rate_limits

    basic = [TokenBucket(20, "5/s"), SlidingWindow(1000, "1h")]
    api = RatePolicy("api", basic, tiers={"pro": SlidingWindow(10_000, "1h")})

    async with create_rate_limits("redis://cache:6379/0", [api]) as limits:
        decision = await limits.check("api", "user:7")              # all limits of the policy, or none
        if not decision.allowed:
            print(decision.retry_after)                             # exact, in seconds
        await limits.require("api", "user:8", tier="pro", cost=5)   # raises RateLimitedError (429)
        print(await limits.limited())                               # who is limited now

        search = TokenBucketLimiter(capacity=10, refill="5/s", name="search", store=limits, fail="closed")
        await search.check("user:7")

With an `Infra`, leave `store` out; `check_rate_limit(key, limit, window)` counts in the limits of the bound one.
"""

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
from undercroft.ratelimit._create import create_rate_limits
from undercroft.ratelimit._errors import (
    CostTooLargeError,
    RateLimitDefinitionError,
    RateLimitedError,
    RateLimitUnavailableError,
    SlotTimeoutError,
    UnknownPolicyError,
)
from undercroft.ratelimit._facade import RateLimits
from undercroft.ratelimit._keys import fingerprint, secret_key
from undercroft.ratelimit._limiters import (
    ConcurrencyLimiter,
    FixedWindowLimiter,
    GcraLimiter,
    LeakyBucketLimiter,
    Limiter,
    QuotaLimiter,
    SlidingWindowLimiter,
    TokenBucketLimiter,
    check_rate_limit,
)
from undercroft.ratelimit._policies import API_RATE_LIMIT, AUTH_RATE_LIMIT, RatePolicy
from undercroft.ratelimit._protocol import LimitStore
from undercroft.ratelimit._rate import Rate, RateLike, to_rate
from undercroft.ratelimit._schemes import open_limits
from undercroft.ratelimit._values import Decision, Fail, Failure, LimitedKey

__all__ = [
    "API_RATE_LIMIT",
    "AUTH_RATE_LIMIT",
    "Concurrency",
    "ConcurrencyLimiter",
    "CostTooLargeError",
    "Decision",
    "Fail",
    "Failure",
    "FixedWindow",
    "FixedWindowLimiter",
    "Gcra",
    "GcraLimiter",
    "LeakyBucket",
    "LeakyBucketLimiter",
    "Limit",
    "LimitStore",
    "LimitedKey",
    "Limiter",
    "Quota",
    "QuotaLimiter",
    "Rate",
    "RateLike",
    "RateLimitDefinitionError",
    "RateLimitUnavailableError",
    "RateLimitedError",
    "RateLimits",
    "RatePolicy",
    "SlidingWindow",
    "SlidingWindowLimiter",
    "SlotTimeoutError",
    "TokenBucket",
    "TokenBucketLimiter",
    "UnknownPolicyError",
    "check_rate_limit",
    "create_rate_limits",
    "fingerprint",
    "open_limits",
    "secret_key",
    "to_rate",
]
