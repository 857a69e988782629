"""Hedges: when a second attempt starts, which one wins, and that nothing is left running."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest

from tests.resilience._calls import driven, outcome
from undercroft._core.clock import VirtualClock
from undercroft.monitoring import get_counter
from undercroft.resilience import Hedge, PolicyError, RetryBudget

pytestmark = pytest.mark.anyio


class Attempts:
    """Attempts that take so long each, and end so."""

    def __init__(self, clock: VirtualClock, *plans: tuple[float, object]) -> None:
        self.clock = clock
        self.plans = plans
        self.begun: list[float] = []
        self.ended: list[str] = []
        self._start = clock.monotonic()

    async def __call__(self) -> Any:
        number = len(self.begun)
        self.begun.append(self.clock.monotonic() - self._start)
        seconds, end = self.plans[min(number, len(self.plans) - 1)]
        try:
            await self.clock.sleep(seconds)
        except asyncio.CancelledError:
            self.ended.append(f"{number} cancelled")
            raise
        self.ended.append(f"{number} done")
        if isinstance(end, Exception):
            raise end
        return end


async def test_fast_call_is_made_once(clock: VirtualClock) -> None:
    attempts = Attempts(clock, (0.04, "a"))
    assert await driven(clock, lambda: Hedge("50ms", clock=clock).call(attempts)) == "a"
    assert attempts.begun == [0]


async def test_slow_call_gets_company_and_the_first_to_succeed_wins(clock: VirtualClock) -> None:
    attempts = Attempts(clock, (10, "a"), (1, "b"))
    assert await driven(clock, lambda: Hedge("2s", name="h1", clock=clock).call(attempts)) == "b"
    assert attempts.begun == [0, 2]
    assert attempts.ended == ["1 done", "0 cancelled"]
    assert get_counter("undercroft_hedges_total", labels={"hedge": "h1", "outcome": "started"}) == 1
    assert get_counter("undercroft_hedges_total", labels={"hedge": "h1", "outcome": "won"}) == 1


async def test_first_may_still_win(clock: VirtualClock) -> None:
    attempts = Attempts(clock, (3, "a"), (10, "b"))
    assert await driven(clock, lambda: Hedge("2s", clock=clock).call(attempts)) == "a"
    assert attempts.ended == ["0 done", "1 cancelled"]


async def test_loser_has_ended_when_the_call_returns(clock: VirtualClock) -> None:
    cleaned = []

    async def work() -> str:
        if not cleaned and clock.monotonic() == start:
            try:
                await asyncio.Event().wait()
            finally:
                with anyio.CancelScope(shield=True):
                    await asyncio.sleep(0)
                cleaned.append(True)
        return "b"

    start = clock.monotonic()
    assert await driven(clock, lambda: Hedge(1, clock=clock).call(work)) == "b"
    assert cleaned == [True]


async def test_failure_while_another_runs_is_passed_over(clock: VirtualClock) -> None:
    attempts = Attempts(clock, (3, ConnectionError("a")), (4, "b"))
    assert await driven(clock, lambda: Hedge("2s", clock=clock).call(attempts)) == "b"


async def test_fails_when_all_have_failed_with_the_first_error(clock: VirtualClock) -> None:
    first = ConnectionError("first")
    attempts = Attempts(clock, (10, ConnectionError("late")), (1, first))
    assert await driven(clock, lambda: outcome(Hedge("2s", clock=clock).call(attempts))) is first


async def test_failure_starts_no_attempt(clock: VirtualClock) -> None:
    error = ConnectionError()
    attempts = Attempts(clock, (1, error), (1, "b"))
    assert await driven(clock, lambda: outcome(Hedge("2s", clock=clock).call(attempts))) is error
    assert len(attempts.begun) == 1


async def test_no_more_attempts_than_allowed(clock: VirtualClock) -> None:
    attempts = Attempts(clock, (100, "a"))
    assert await driven(clock, lambda: Hedge("2s", max_attempts=4, clock=clock).call(attempts)) == "a"
    assert attempts.begun == [0, 2, 4, 6]


async def test_cancellation_ends_all(clock: VirtualClock) -> None:
    attempts = Attempts(clock, (100, "a"))
    task = asyncio.ensure_future(Hedge("2s", clock=clock).call(attempts))
    await clock.advance(3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(attempts.ended) == ["0 cancelled", "1 cancelled"]


async def test_function_that_cancels_itself_does_not_hang(clock: VirtualClock) -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await driven(clock, lambda: Hedge("2s", clock=clock).call(work))


async def test_budget_bounds_the_hedges(clock: VirtualClock) -> None:
    hedge = Hedge(1, budget=RetryBudget(0.1, reserve=2), name="h2", clock=clock)
    attempts = Attempts(clock, (5, "a"))

    async def run() -> None:
        for _ in range(50):
            await hedge.call(attempts)

    await driven(clock, run)
    assert 50 + 2 + 4 <= len(attempts.begun) <= 50 + 2 + 5
    denied = get_counter("undercroft_hedges_total", labels={"hedge": "h2", "outcome": "denied"})
    assert denied == 50 - (len(attempts.begun) - 50)


async def test_percentile_follows_what_calls_took(clock: VirtualClock) -> None:
    hedge = Hedge("9s", percentile=0.9, clock=clock)
    attempts = Attempts(clock, *[(n / 10, "a") for n in range(1, 21)])

    async def run() -> None:
        for _ in range(20):
            assert hedge.delay_s == 9
            await hedge.call(attempts)

    await driven(clock, run)
    assert hedge.delay_s == pytest.approx(1.9)


@pytest.mark.parametrize("options", [{"max_attempts": 1}, {"max_attempts": 11}, {"percentile": 0}, {"percentile": 95}])
def test_wrong_argument_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        Hedge(1, **options)
