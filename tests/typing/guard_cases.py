from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import assert_type

from undercroft.asgi import (
    ASGIApp,
    Clients,
    DDoSProtection,
    LimitRule,
    PenaltyBox,
    RateLimitGuard,
    RateLimitInfo,
    Scope,
    api_rule,
    auth_rule,
    by_api_key,
    by_ip,
    by_path,
    by_user,
    bypass_rate_limit,
    combined,
    parse_rate_limit_headers,
    parse_retry_after,
    rate_limit,
    rate_limit_headers,
    rate_limited,
)
from undercroft.ratelimit import RateLimits, RatePolicy, SlidingWindow


# a decorated route keeps its signature
@rate_limit("5/15m")
async def login(name: str, *, password: str) -> int:
    return 1


async def calls() -> None:
    assert_type(await login("ann", password="x"), int)
    assert_type(await status(), dict[str, str])
    await login("ann")  # E: call-arg
    await login(1, password="x")  # E: arg-type


@rate_limit(RatePolicy("search", SlidingWindow(5, "1m")), key=by_user(), cost=lambda scope: 2, status=402)
def search(words: list[str]) -> bytes:
    return b""


assert_type(search(["a"]), bytes)
search("a")  # E: arg-type


@bypass_rate_limit
async def status() -> dict[str, str]:
    return {}


rate_limit(5)  # E: arg-type
rate_limit("5/m", status=500)  # E: arg-type
rate_limit("5/m", cost="many")  # E: arg-type
assert_type(rate_limited("login"), Callable[[], Awaitable[None]])


# the guard
async def user_of(scope: Scope) -> int | None:
    return None


async def is_known(key: str) -> bool:
    return True


def tier_of(scope: Scope) -> str | None:
    return None


def guards(app: ASGIApp, limits: RateLimits) -> None:
    RateLimitGuard(app)
    RateLimitGuard(app, limits, rules=[auth_rule("/login"), api_rule("/api", key=by_user(user_of))])
    RateLimitGuard(app, policy="100/m", key=combined(by_user(), by_api_key(is_known), by_ip(1)), headers="draft-11")
    RateLimitGuard(app, policy="9/m", headers=("draft-11", "legacy-epoch"), tier=tier_of, trusted_proxies="10.0.0.0/8")
    RateLimitGuard(app, policy="9/m", allow=Clients(ips=["192.0.2.1"]), deny=["198.51.100.0/24"], bypass={"x": "y"})
    RateLimitGuard(app, deny=lambda scope: scope["path"] == "/", skip=["/static"])
    RateLimitGuard(app, headers="standard")  # E: arg-type
    RateLimitGuard(app, policy=7)  # E: arg-type
    RateLimitGuard(app, rules=["5/m"])  # E: list-item
    RateLimitGuard(app, key="ip")  # E: arg-type
    RateLimitGuard(app, "memory://")  # E: arg-type
    LimitRule("5/m")  # E: call-arg
    LimitRule(policy="5/m", paths=("/a", "/b"), methods="POST", key=by_path(by_ip()), skip=lambda scope: True)
    by_api_key()  # E: call-arg
    by_ip("unix", header="x-real-ip")  # E: arg-type


# floods
async def floods(app: ASGIApp, limits: RateLimits, box: PenaltyBox) -> None:
    protection = DDoSProtection(app, per_client="50/s", global_=None, max_lag="100ms", share=limits, box=box)
    await protection.block("192.0.2.1", "10m")
    assert_type(await protection.unblock("192.0.2.1"), bool)
    assert_type(protection.list_blocked(), dict[str, float])
    protection.allow("192.0.2.1", "1h")
    DDoSProtection(app, share=True)
    DDoSProtection(app, per_client=50)  # E: arg-type


# fields
assert_type(parse_rate_limit_headers({"RateLimit": '"a";r=1'}), list[RateLimitInfo])
assert_type(parse_rate_limit_headers([(b"ratelimit", b'"a";r=1')])[0].remaining, int | None)
assert_type(parse_retry_after([("Retry-After", "1")]), float | None)
rate_limit_headers([RateLimitInfo(policy="a", limit=1, remaining=0)], headers="legacy-delta", now=0.0)
rate_limit_headers([RateLimitInfo("a")], headers="off", now=0.0)  # E: call-arg
RateLimitInfo(policy="a").remaining = 3  # E: misc
