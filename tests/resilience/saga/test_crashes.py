"""Whatever dies, and wherever: a saga comes to one of its ends, nothing that was done is forgotten, and what is undone
is undone in reverse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.resilience.saga._worlds import Died, Fault, FaultyStore, HurriedClock, run_stored
from undercroft.resilience import (
    CompensationContext,
    Saga,
    SagaContext,
    SagaState,
    StepRefusedError,
    StepRetry,
)

pytestmark = pytest.mark.anyio
# What one run of an action does: `effect` tells whether the world is changed before it ends that way.
ACTIONS = ("done", "refuses", "raises without effect", "raises with effect", "dies without effect", "dies with effect")
UNDOINGS = ("done", "raises", "dies before", "dies after")


@dataclass(frozen=True)
class Plan:
    """What the runs of one step and of its compensation do, in order; all later ones are done."""

    actions: tuple[str, ...]
    undoings: tuple[str, ...]
    attempts: int
    has_compensation: bool


plans = st.builds(
    Plan,
    actions=st.lists(st.sampled_from(ACTIONS), max_size=4).map(tuple),
    undoings=st.lists(st.sampled_from(UNDOINGS), max_size=4).map(tuple),
    attempts=st.integers(1, 3),
    has_compensation=st.booleans(),
)


class Effects:
    """The world that a saga changes: what is there now, and all that happened."""

    def __init__(self, steps: list[Plan]) -> None:
        self.plans = steps
        self.there: dict[str, int] = {}
        """The result of each step that has its effect now."""
        self.events: list[tuple[str, int]] = []
        self._runs: dict[str, int] = {}
        self._results: dict[str, int] = {}

    def saga(self) -> Saga[Any]:
        saga: Saga[Any] = Saga("order")
        for number, plan in enumerate(self.plans):
            saga = saga.step(
                str(number),
                self._act,
                compensate=self._undo if plan.has_compensation else None,
                retry=StepRetry(plan.attempts, base=0),
                compensate_retry=StepRetry(2, base=0),
            )
        return saga

    async def _act(self, ctx: SagaContext[Any]) -> int:
        number, run = int(ctx.step), self._count(ctx.idempotency_key)
        assert ctx.idempotency_key == f"order-7:{ctx.step}"
        assert ctx.results == {str(step): self._results[str(step)] for step in range(number)}
        what = _at(self.plans[number].actions, run)
        self.events.append(("act", number))
        if what == "done" or what.endswith("with effect"):
            self.there[ctx.step] = run
        if what == "refuses":
            raise StepRefusedError("no")
        if what.startswith("raises"):
            raise ConnectionError(what)
        if what.startswith("dies"):
            raise Died
        self._results[ctx.step] = run
        return run

    async def _undo(self, ctx: CompensationContext[Any]) -> None:
        run = self._count(ctx.idempotency_key)
        what = _at(self.plans[int(ctx.step)].undoings, run)
        self.events.append(("undo", int(ctx.step)))
        assert ctx.result == (None if ctx.is_uncertain else self._results[ctx.step])
        if what == "dies before":
            raise Died
        if what == "raises":
            raise OSError(what)
        self.there.pop(ctx.step, None)
        if what == "dies after":
            raise Died

    def _count(self, key: str) -> int:
        self._runs[key] = self._runs.get(key, 0) + 1
        return self._runs[key]


def _at(whats: tuple[str, ...], run: int) -> str:
    return whats[run - 1] if run <= len(whats) else "done"


def check(world: Effects, info: Any) -> None:
    """Assert all that a saga promises about its end."""
    numbers = {name: [number for what, number in world.events if what == name] for name in ("act", "undo")}
    kinds = [what for what, _ in world.events]
    assert info.state.is_final
    assert kinds == sorted(kinds), "nothing is done any more once something was undone"
    assert numbers["act"] == sorted(numbers["act"]), "no step is done again once the next has begun"
    assert numbers["undo"] == sorted(numbers["undo"], reverse=True), "undone in reverse"
    if info.state is SagaState.COMPLETED:
        assert sorted(world.there) == [str(number) for number in range(len(world.plans))]
        assert not numbers["undo"]
        return
    failed = {report.name for report in info.compensations if report.outcome == "failed"}
    left = {name for name in world.there if world.plans[int(name)].has_compensation}
    assert left <= failed, "what is not undone is told"
    assert (info.state is SagaState.COMPENSATION_FAILED) == bool(failed)
    assert info.failed_step is not None
    assert info.error is not None
    undone = {name for name, plan in enumerate(world.plans) if plan.has_compensation and name < int(info.failed_step)}
    assert undone <= set(numbers["undo"]), "every step that was done is compensated"


@given(
    steps=st.lists(plans, min_size=1, max_size=4),
    at=st.none() | st.integers(1, 30),
    fault=st.sampled_from(get_args(Fault)),
)
@settings(deadline=None, max_examples=250)
async def test_saga_ends_well_whatever_dies(steps: list[Plan], at: int | None, fault: Fault) -> None:
    clock = HurriedClock()
    world = Effects(steps)

    info = await run_stored(world.saga(), FaultyStore(clock, at=at, fault=fault), clock)

    check(world, info)


FAILS_LAST = [Plan((), (), 1, True), Plan((), (), 1, True), Plan(("refuses",) * 9, (), 1, True)]
COMPLETES = [Plan((), (), 1, True)] * 3


@pytest.mark.parametrize("fault", get_args(Fault))
@pytest.mark.parametrize(("steps", "state"), [(FAILS_LAST, "compensated"), (COMPLETES, "completed")])
async def test_saga_survives_a_fault_at_each_of_its_writes(steps: list[Plan], state: str, fault: Fault) -> None:
    undisturbed = FaultyStore(HurriedClock())
    await run_stored(Effects(steps).saga(), undisturbed, HurriedClock())

    for at in range(1, undisturbed.writes + 1):
        clock, world = HurriedClock(), Effects(steps)
        info = await run_stored(world.saga(), FaultyStore(clock, at=at, fault=fault), clock)
        check(world, info)
        assert info.state == state, f"at write {at}"
        if fault.startswith("unavailable"):
            acts = [number for what, number in world.events if what == "act"]
            assert acts == [0, 1, 2], "a write is repeated, and no step for its sake"


async def test_saga_of_n_steps_is_written_n_plus_2_times() -> None:
    """Once when it is started, once before each step, and once at its end."""
    clock = HurriedClock()
    store = FaultyStore(clock)

    await run_stored(Effects(COMPLETES).saga(), store, clock)

    assert store.writes == 5


async def test_step_that_kills_its_process_each_time_is_undone() -> None:
    clock = HurriedClock()
    world = Effects([Plan((), (), 1, True), Plan(("dies with effect",) * 9, (), 5, True)])

    info = await run_stored(world.saga(), FaultyStore(clock), clock)

    assert info.state is SagaState.COMPENSATED
    assert info.error is not None
    assert info.error.type == "SagaStepCrashedError"
    assert [number for what, number in world.events if what == "act"] == [0, 1, 1, 1]
    assert world.there == {}


async def test_compensation_that_kills_its_process_each_time_is_told_and_the_others_are_done() -> None:
    clock = HurriedClock()
    world = Effects([Plan((), (), 1, True), Plan((), ("dies before",) * 9, 1, True), Plan(("refuses",), (), 1, False)])

    info = await run_stored(world.saga(), FaultyStore(clock), clock)

    assert info.state is SagaState.COMPENSATION_FAILED
    assert [(report.name, report.outcome) for report in info.compensations] == [
        ("2", "skipped"),
        ("1", "failed"),
        ("0", "ok"),
    ]
    assert list(world.there) == ["1"]
