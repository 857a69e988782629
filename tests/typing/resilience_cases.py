from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Literal, assert_type

from undercroft.resilience import (
    Attempt,
    BreakerInfo,
    BreakerMetrics,
    Breakers,
    BreakerState,
    BreakerStore,
    Bulkhead,
    Chaos,
    CircuitBreaker,
    CircuitOpenError,
    Fallback,
    Hedge,
    Pipeline,
    Policy,
    Retry,
    RetryBudget,
    StateChange,
    Timeout,
    create_breakers,
    parse_retry_after,
    retry,
    retry_with_backoff,
)


async def charge(order: str, *, cents: int = 0) -> float:
    return cents / 100


def plain(order: str) -> float:
    return 0.0


class Own:
    async def call(self, fn: Callable[..., Awaitable[Any]], /, *args: Any, **kwargs: Any) -> Any:
        return await fn(*args, **kwargs)


# every policy calls, keeping arguments and result
breaker = CircuitBreaker("payments", failure_threshold=5, reset_timeout="30s", window="60s", failure_rate=None)


async def calls() -> None:
    assert_type(await Retry(3).call(charge, "a", cents=1), float)
    assert_type(await Timeout("1s").call(charge, "a"), float)
    assert_type(await Bulkhead(3).call(charge, "a"), float)
    assert_type(await Hedge("50ms").call(charge, "a"), float)
    assert_type(await breaker.call(charge, "a"), float)
    assert_type(await breaker.execute(charge, "a"), float)
    assert_type(await Chaos(failure_rate=0.1, error=ValueError).call(charge, "a"), float)
    assert_type(await Fallback(None).call(charge, "a"), float | None)
    assert_type(await Fallback("x").call(charge, "a"), float | str)
    assert_type(await Pipeline(Retry(), breaker, Fallback(0.0), Own()).call(charge, "a"), float)
    assert_type(await retry_with_backoff(lambda: charge("a"), attempts=2, base="1s"), float)
    await Retry().call(charge, 5)  # E: arg-type
    await Retry().call(charge, "a", euros=1)  # E: call-arg
    await breaker.execute(charge)  # E: call-arg
    await breaker.execute(plain, "a")  # E: arg-type
    async with Bulkhead(1), breaker as entered:
        assert_type(entered, CircuitBreaker)


# decorators keep the signature
@retry(attempts=4, deadline="20s", on=(ConnectionError, TimeoutError), budget=RetryBudget(0.1))
async def fetch(page: int) -> bytes:
    return b""


@retry
async def bare(page: int) -> bytes:
    return b""


@breaker
async def guarded(page: int) -> bytes:
    return b""


@Pipeline(Timeout(1), Retry())
async def both(page: int) -> bytes:
    return b""


@Fallback([])
async def listed(page: int) -> list[str]:
    return []


async def decorated() -> None:
    assert_type(await fetch(1), bytes)
    assert_type(await bare(1), bytes)
    assert_type(await guarded(page=1), bytes)
    assert_type(await both(1), bytes)
    await fetch("1")  # E: arg-type
    await bare()  # E: call-arg
    await guarded(1, 2)  # E: call-arg


retry(plain)  # E: arg-type
retry(attempts="3")  # E: call-overload
retry(tries=3)  # E: call-overload
assert_type(retry(attempts=2, on=lambda error: error.args == ()), Retry)
Retry(jitter="half")  # E: arg-type
Pipeline(Own(), "retry")  # E: arg-type
policies: list[Policy] = [Retry(), Timeout(1), Bulkhead(1), Hedge(1), breaker, Fallback(1), Pipeline(), Own()]


async def block() -> None:
    async for attempt in Retry():
        assert_type(attempt, Attempt)
        with attempt:
            assert_type(attempt.number, int)


# breakers
CircuitBreaker("a", threshold=5, timeout=30)
CircuitBreaker("a", failures=5)  # E: call-arg
CircuitBreaker("a", window=1.5)  # E: arg-type
CircuitBreaker()  # E: call-arg
assert_type(breaker.state, BreakerState)
assert_type(breaker.metrics(), BreakerMetrics)
assert_type(breaker.info(), BreakerInfo)


def told(change: StateChange) -> None:
    assert_type(change.after, Literal["closed", "open", "half_open"])


CircuitBreaker("a", on_state_change=told, is_failure=lambda error: isinstance(error, OSError))


async def commands(store: BreakerStore) -> None:
    assert_type(create_breakers("redis://h"), Breakers)
    async with Breakers(store) as breakers:
        assert_type(breakers.breaker("a", failure_threshold=2), CircuitBreaker)
        assert_type(breakers.get("a"), CircuitBreaker | None)
        assert_type(breakers.require("a"), CircuitBreaker)
        assert_type(await breakers.list(), tuple[BreakerInfo, ...])
        info = await breakers.force_open("a", for_="10m")
        assert_type(info.opened_at, datetime | None)
        breakers.breaker("a", treshold=2)  # E: call-arg
        await breakers.force_open("a", "10m")  # E: call-arg
        info.state = "open"  # E: misc
    try:
        await breaker.force_open(for_="1m")
    except CircuitOpenError as error:
        assert_type(error.retry_after, float | None)


assert_type(parse_retry_after("5"), float | None)
