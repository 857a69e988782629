"""A breaker against a model, in any order of calls, endings, time and commands: alone, and with a store."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from undercroft._core.clock import VirtualClock
from undercroft._core.errors import InvalidDataError
from undercroft.resilience import Breakers, CircuitBreaker, CircuitOpenError

THRESHOLD, RESET_S, PROBES, ENOUGH, LEASE_S = 3, 10.0, 2, 2, 25.0
HOW = st.sampled_from(["ok", "failed", "refused", "cancelled"])


class Model:
    """What is promised, written down as plainly as can be."""

    def __init__(self) -> None:
        self.now = 0.0
        self.opened = False
        self.until = 0.0
        self.in_row = self.successes = self.turn = 0
        self.forced: str | None = None
        self.forced_until: float | None = None
        self.slots: dict[int, float] = {}

    @property
    def force(self) -> str | None:
        has_ended = self.forced_until is not None and self.now >= self.forced_until
        return None if has_ended else self.forced

    @property
    def state(self) -> str:
        if self.force:
            return self.force
        if not self.opened:
            return "closed"
        return "open" if self.now < self.until else "half_open"

    def enter(self, call: int) -> str:
        """Return how a call is let in: `plain`, `probe`, or not: `no`."""
        if self.state == "half_open":
            if sum(1 for end in self.slots.values() if end > self.now) >= PROBES:
                return "no"
            self.slots[call] = self.now + LEASE_S
            return "probe"
        return "no" if self.state == "open" else "plain"

    def leave(self, call: int, entered: str, turn: int, how: str) -> None:
        slot = self.slots.pop(call, None)
        if turn != self.turn or self.force:
            return
        if entered == "plain":
            if how == "ok":
                self.in_row = 0
            if how == "failed":
                self.in_row += 1
                if self.in_row == THRESHOLD:
                    self.open(RESET_S)
            return
        del slot
        if self.state != "half_open" or how == "cancelled":
            return
        if how == "failed":
            self.open(RESET_S)
        else:
            self.successes += 1
            if self.successes == ENOUGH:
                self.close()

    def open(self, seconds: float) -> None:
        self._turn_over()
        self.opened, self.until = True, self.now + seconds

    def close(self) -> None:
        self._turn_over()
        self.opened = False

    def _turn_over(self) -> None:
        self.turn += 1
        self.in_row = self.successes = 0
        self.forced = self.forced_until = None

    def force_to(self, state: str, seconds: float | None) -> None:
        if state == "open":
            self.open(seconds or 0.0)
        else:
            self.close()
        self.forced = state
        self.forced_until = None if seconds is None else self.now + seconds


class BreakerMachine(RuleBasedStateMachine):
    """Begins and ends calls, moves time, gives commands."""

    calls: Bundle[Any] = Bundle("calls")
    is_shared = False

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = VirtualClock(start=1000.0)
        self.model = Model()
        self.number = 0
        self.most_in_row = 0
        self.breakers = Breakers(clock=self.clock)
        self.breaker = self.run(self._made())

    def run(self, call: Any) -> Any:
        return self.runner.run(call)

    async def _made(self) -> CircuitBreaker:
        options: dict[str, Any] = {
            "failure_threshold": THRESHOLD,
            "reset_timeout": RESET_S,
            "half_open_max": PROBES,
            "success_threshold": ENOUGH,
            "probe_lease": LEASE_S,
        }
        if not self.is_shared:
            return CircuitBreaker("b", clock=self.clock, is_local=True, **options)
        await self.breakers.__aenter__()
        return self.breakers.breaker("b", **options)

    @rule(target=calls)
    def begin(self) -> Any:
        return self.run(self._begin())

    async def _begin(self) -> Any:
        self.number += 1
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def work() -> None:
            await end

        turn, entered = self.model.turn, self.model.enter(self.number)
        task = asyncio.ensure_future(self.breaker.call(work))
        await self._settle()
        if entered == "no":
            assert task.done()
            assert isinstance(task.exception(), CircuitOpenError)
            return None
        assert not task.done()
        return self.number, entered, turn, task, end

    @rule(call=consumes(calls), how=HOW)
    def end(self, call: Any, how: str) -> None:
        if call is not None:
            self.run(self._end(*call, how))

    async def _end(
        self, number: int, entered: str, turn: int, task: asyncio.Task[Any], end: asyncio.Future[None], how: str
    ) -> None:
        if how == "cancelled":
            task.cancel()
        elif how == "ok":
            end.set_result(None)
        else:
            end.set_exception(ConnectionError() if how == "failed" else InvalidDataError("x"))
        await asyncio.wait([task])
        assert task.cancelled() == (how == "cancelled")
        if not task.cancelled():
            task.exception()
        self.model.leave(number, entered, turn, how)

    @rule(times=st.integers(1, THRESHOLD + 1))
    def fail(self, times: int) -> None:
        for _ in range(times):
            call = self.begin()
            if call is not None:
                self.run(self._end(*call, "failed"))

    @rule(seconds=st.sampled_from([0.5, 1.0, 5.0, 10.0, 25.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.run(self.clock.advance(seconds))
        self.model.now += seconds

    @rule(state=st.sampled_from(["open", "closed"]), seconds=st.sampled_from([None, 5.0, 30.0]))
    def force(self, state: str, seconds: float | None) -> None:
        command = self.breaker.force_open if state == "open" else self.breaker.force_closed
        self.run(command(for_=seconds))
        self.model.force_to(state, seconds)

    @rule()
    def reset(self) -> None:
        self.run(self.breaker.reset())
        self.model.close()
        self.model.slots.clear()

    async def _settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    @invariant()
    def states_agree(self) -> None:
        assert self.breaker.state == self.model.state

    @precondition(lambda self: self.model.state == "closed" and not self.model.force)
    @invariant()
    def counts_agree(self) -> None:
        assert self.breaker.metrics().failures_in_row == self.model.in_row

    def teardown(self) -> None:
        async def end() -> None:
            left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left)
            if self.is_shared:
                await self.breakers.__aexit__(None, None, None)

        self.run(end())
        self.runner.close()


class SharedBreakerMachine(BreakerMachine):
    is_shared = True


FEW = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("machine", [BreakerMachine, SharedBreakerMachine])
def test_breaker_does_what_the_model_does(machine: type[BreakerMachine]) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(machine, settings=FEW)  # type: ignore[no-untyped-call]
