"""Pipelines: the order of policies, and one's own among them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.resilience._calls import Service, driven, outcome
from undercroft._core.clock import VirtualClock
from undercroft.resilience import (
    Bulkhead,
    CallTimeoutError,
    CircuitBreaker,
    CircuitOpenError,
    Fallback,
    Hedge,
    Pipeline,
    PolicyError,
    Retry,
    Timeout,
)

pytestmark = pytest.mark.anyio


class Noting:
    """A policy of one's own."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name, self.notes = name, notes

    async def call(self, fn: Callable[..., Awaitable[Any]], /, *args: Any, **kwargs: Any) -> Any:
        self.notes.append(f"+{self.name}")
        try:
            return await fn(*args, **kwargs)
        finally:
            self.notes.append(f"-{self.name}")


async def test_first_policy_is_the_outermost() -> None:
    notes: list[str] = []
    assert await Pipeline(Noting("a", notes), Noting("b", notes)).call(Service("ok"), 1, two=2) == "ok"
    assert notes == ["+a", "+b", "-b", "-a"]


async def test_without_policies_it_just_calls() -> None:
    assert await Pipeline().call(Service("ok")) == "ok"


async def test_pipeline_is_a_policy() -> None:
    notes: list[str] = []
    await Pipeline(Noting("a", notes), Pipeline(Noting("b", notes))).call(Service())
    assert notes == ["+a", "+b", "-b", "-a"]


async def test_timeout_outside_of_retry_bounds_all_of_it(clock: VirtualClock) -> None:
    service = Service(ConnectionError(), clock=clock)
    pipeline = Pipeline(Timeout("3s", clock=clock), Retry(9, base=1, jitter="none", clock=clock))
    assert isinstance(await driven(clock, lambda: outcome(pipeline.call(service))), CallTimeoutError)
    assert service.calls == 2  # at 0 and 1; the next would be at 3


async def test_timeout_inside_of_retry_bounds_each_attempt(clock: VirtualClock) -> None:
    service = Service(gate=asyncio.Event())
    pipeline = Pipeline(Retry(3, base=0, clock=clock), Timeout("3s", clock=clock))
    assert isinstance(await driven(clock, lambda: outcome(pipeline.call(service))), CallTimeoutError)
    assert (service.calls, service.cancelled) == (3, 3)


async def test_retry_waits_for_as_long_as_the_breaker_is_open(clock: VirtualClock) -> None:
    service = Service(ConnectionError(), "ok", clock=clock)
    breaker = CircuitBreaker("p1", failure_threshold=1, reset_timeout=20, clock=clock, is_local=True)
    pipeline = Pipeline(Retry(3, base="10ms", clock=clock), breaker)
    began = clock.monotonic()
    assert await driven(clock, lambda: pipeline.call(service)) == "ok"
    assert service.calls == 2
    assert 20 <= service.times[1] - began < 20.1


async def test_whole_line_of_policies(clock: VirtualClock) -> None:
    service = Service(ConnectionError(), clock=clock)
    pipeline = Pipeline(
        Fallback("cached"),
        Timeout("30s", clock=clock),
        Retry(4, base="10ms", clock=clock, give_up=CircuitOpenError),
        CircuitBreaker("p2", failure_threshold=3, clock=clock, is_local=True),
        Bulkhead(5, clock=clock),
        Hedge("5s", clock=clock),
        Timeout("10s", clock=clock),
    )
    assert await driven(clock, lambda: pipeline.call(service), 20) == "cached"
    assert service.calls == 3  # the breaker refused the fourth


async def test_decorator() -> None:
    @Pipeline(Retry(), Bulkhead(1))
    async def twice(number: int) -> int:
        return 2 * number

    assert await twice(2) == 4


@pytest.mark.parametrize("wrong", [Retry, "retry", None, object()])
def test_what_is_no_policy_is_refused(wrong: Any) -> None:
    with pytest.raises(PolicyError, match="is not a policy"):
        Pipeline(wrong)
