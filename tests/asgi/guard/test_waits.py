"""What a refusal says about waiting, whatever the limits are and however the requests come."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.authentication import SimpleUser, UnauthenticatedUser

from tests.asgi.guard._limits import ask, from_client, ok
from undercroft.asgi import RateLimitGuard, Receive, Scope, Send, by_user, parse_rate_limit_headers, parse_retry_after
from undercroft.asgi._guard._keys import resolve_key
from undercroft.ratelimit import (
    Concurrency,
    FixedWindow,
    Gcra,
    Limit,
    RateLimits,
    RatePolicy,
    SlidingWindow,
    TokenBucket,
    create_rate_limits,
)
from undercroft.testing import VirtualClock

COUNTS = st.integers(1, 4)
WINDOWS = st.sampled_from([0.5, 1, 7, 60])
LIMITS = st.one_of(
    st.builds(SlidingWindow, COUNTS, WINDOWS),
    st.builds(FixedWindow, COUNTS, WINDOWS),
    st.builds(TokenBucket, COUNTS, st.sampled_from(["1/s", "3/m", 0.3])),
    st.builds(Gcra, st.sampled_from(["1/s", "3/m"]), COUNTS),
)


async def hold(limits_of_policy: list[Limit], pauses: list[float]) -> None:
    clock = VirtualClock()
    policy = RatePolicy("api", limits_of_policy)
    async with create_rate_limits("memory://", clock=clock) as limits:
        guard = RateLimitGuard(ok, limits, policy=policy, clock=clock)
        for pause in pauses:
            await clock.advance(pause)
            answer = await ask(guard)
            infos = parse_rate_limit_headers(answer.start["headers"])
            assert len(infos) == len(limits_of_policy)
            wait_s = parse_retry_after(answer.start["headers"])
            if answer.status == 200:
                assert wait_s is None
                assert all(info.remaining is not None for info in infos)
                continue
            assert wait_s is not None
            assert wait_s >= 1
            assert all(wait_s >= (info.reset_after or 0) for info in infos if info.remaining is not None)
            assert {info.policy for info in infos if info.remaining == 0} == set(answer.json["violated-policies"])
            await clock.advance(wait_s)
            assert (await ask(guard)).status == 200


@settings(max_examples=60, deadline=None)
@given(st.lists(LIMITS, min_size=1, max_size=2, unique_by=type), st.lists(st.floats(0, 5), max_size=12))
def test_whoever_waits_as_told_is_served(limits: list[Limit], pauses: list[float]) -> None:
    kinds = {type(limit) for limit in limits}
    if {TokenBucket, Gcra} <= kinds:  # two of one kind and rate would count the same
        limits = limits[:1]
    asyncio.run(hold(limits, pauses))


@pytest.mark.anyio
async def test_a_cancelled_request_gives_its_slot_back(limits: RateLimits) -> None:
    begun = anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/long":
            begun.set()
            await anyio.sleep_forever()
        await ok(scope, receive, send)

    guard = RateLimitGuard(app, limits, policy=RatePolicy("exports", Concurrency(1)))
    async with anyio.create_task_group() as group:
        group.start_soon(ask, guard, "/long")
        await begun.wait()
        assert (await ask(guard)).status == 429
        group.cancel_scope.cancel()
    assert (await ask(guard)).status == 200


@pytest.mark.anyio
async def test_users_of_frameworks_are_known() -> None:
    class Account:
        id = 17

    found = [
        await resolve_key(by_user(), from_client("192.0.2.1", user=user))
        for user in (SimpleUser("ann"), UnauthenticatedUser(), Account(), "bob", None)
    ]
    assert found == ["user:ann", None, "user:17", "user:bob", None]


@pytest.mark.anyio
async def test_a_users_function_may_be_async() -> None:
    async def get(scope: Scope) -> int:
        return 7

    assert await resolve_key(by_user(get), from_client("192.0.2.1")) == "user:7"
