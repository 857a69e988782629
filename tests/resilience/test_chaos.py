"""Faults on purpose: how many, how late, and none while it is off."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.resilience._calls import Service, driven, outcome
from undercroft._core.clock import VirtualClock
from undercroft.resilience import Chaos, CircuitBreaker, InjectedFaultError, Pipeline, PolicyError, is_transient

pytestmark = pytest.mark.anyio


async def test_does_nothing_before_it_is_on() -> None:
    service = Service("ok")
    chaos = Chaos(failure_rate=1, latency="1h")
    assert await chaos.call(service) == "ok"
    chaos.is_on = True
    chaos_now = Chaos(failure_rate=1, is_on=True)
    assert isinstance(await outcome(chaos_now.call(service)), InjectedFaultError)
    assert service.calls == 1


async def test_share_of_calls_fails_and_is_not_made() -> None:
    service = Service("ok")
    chaos = Chaos(failure_rate=0.3, is_on=True, random=random.Random(1).random)
    outcomes = [await outcome(chaos.call(service)) for _ in range(1000)]
    failed = sum(isinstance(one, InjectedFaultError) for one in outcomes)
    assert 250 < failed < 350
    assert service.calls == 1000 - failed


async def test_share_of_calls_is_late(clock: VirtualClock) -> None:
    service = Service("ok", clock=clock)
    began = clock.monotonic()
    numbers = iter([0.1, 0.9, 0.9, 0.9])
    chaos = Chaos(latency="2s", latency_rate=0.5, is_on=True, clock=clock, random=lambda: next(numbers))

    async def run() -> None:
        await chaos.call(service)
        await chaos.call(service)

    await driven(clock, run)
    assert [at - began for at in service.times] == [2, 2]


async def test_error_of_ones_own() -> None:
    assert isinstance(await outcome(Chaos(failure_rate=1, error=KeyError, is_on=True).call(Service())), KeyError)
    assert is_transient(InjectedFaultError("x"))


async def test_drill_opens_a_breaker_and_ends(clock: VirtualClock) -> None:
    chaos = Chaos(failure_rate=1, is_on=True)
    breaker = CircuitBreaker("drill", failure_threshold=3, reset_timeout=10, clock=clock, is_local=True)
    shield = Pipeline(breaker, chaos)
    for _ in range(3):
        await outcome(shield.call(Service()))
    assert breaker.state == "open"
    chaos.is_on = False
    await clock.advance(10)
    assert await shield.call(Service("ok")) == "ok"
    assert breaker.state == "closed"


@pytest.mark.parametrize("options", [{"failure_rate": 2}, {"failure_rate": -1}, {"latency_rate": 50}])
def test_wrong_share_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        Chaos(**options)
