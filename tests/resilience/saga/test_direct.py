"""A saga that is run here and now: what is undone, in which order, with what, and how it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from undercroft._core.clock import VirtualClock
from undercroft.resilience import (
    CompensationContext,
    Saga,
    SagaContext,
    SagaDeadlineError,
    SagaFailedError,
    SagaState,
    SagaStepResultError,
    SagaStepTimeoutError,
    StepRefusedError,
    StepRetry,
)

pytestmark = pytest.mark.anyio
Act = Callable[[SagaContext[Any]], Awaitable[Any]]
Undo = Callable[[CompensationContext[Any]], Awaitable[Any]]


class World:
    """What happened, in order."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def does(self, result: Any = None) -> Act:
        async def act(ctx: SagaContext[Any]) -> Any:
            self.told.append(ctx.step)
            return result

        return act

    def fails(self, *errors: BaseException | None) -> Act:
        """Return an action that raises these, one in each attempt."""

        async def act(ctx: SagaContext[Any]) -> str:
            self.told.append(f"{ctx.step} {ctx.attempt}")
            error = errors[min(ctx.attempt, len(errors)) - 1]
            if error is not None:
                raise error
            return "done"

        return act

    def undoes(self, *errors: Exception | None) -> Undo:
        async def undo(ctx: CompensationContext[Any]) -> None:
            what = "?" if ctx.is_uncertain else repr(ctx.result)
            self.told.append(f"undo {ctx.step} {what}")
            error = errors[min(ctx.attempt, len(errors)) - 1] if errors else None
            if error is not None:
                raise error

        return undo


@pytest.fixture
def world() -> World:
    return World()


async def test_steps_are_done_in_order_and_see_the_results_before_them() -> None:
    seen: list[dict[str, Any]] = []

    async def look(ctx: SagaContext[Any]) -> tuple[int, str]:
        seen.append({"data": ctx.data, "results": dict(ctx.results), "key": ctx.idempotency_key})
        return (len(seen), "x")

    result = await Saga("order").step("a", look).step("b", look).run({"sku": 1}, id="order-7")

    assert seen == [
        {"data": {"sku": 1}, "results": {}, "key": "order-7:a"},
        {"data": {"sku": 1}, "results": {"a": [1, "x"]}, "key": "order-7:b"},
    ]
    assert result.state is SagaState.COMPLETED
    assert result.results == {"a": [1, "x"], "b": [2, "x"]}
    assert (result.failed_step, result.error, result.compensations) == (None, None, ())


async def test_failed_saga_is_undone_in_reverse_with_each_steps_result(world: World) -> None:
    saga = (
        Saga("order")
        .step("a", world.does({"id": 1}), compensate=world.undoes())
        .step("b", world.does())
        .step("c", world.does(3), compensate=world.undoes())
        .step("d", world.fails(StepRefusedError("declined")), compensate=world.undoes())
        .step("e", world.does(), compensate=world.undoes())
    )

    with pytest.raises(SagaFailedError) as failed:
        await saga.run()

    assert world.told == ["a", "b", "c", "d 1", "undo c 3", "undo a {'id': 1}"]
    error = failed.value
    assert isinstance(error.__cause__, StepRefusedError)
    assert error.state is SagaState.COMPENSATED
    assert error.result.failed_step == "d"
    assert [(report.name, report.outcome) for report in error.result.compensations] == [
        ("d", "skipped"),
        ("c", "ok"),
        ("b", "skipped"),
        ("a", "ok"),
    ]


async def test_step_that_failed_is_undone_too_since_it_may_have_happened(world: World) -> None:
    saga = Saga("order").step("a", world.fails(ConnectionError("cut")), compensate=world.undoes())

    result = await saga.run(check=False)

    assert world.told == ["a 1", "undo a ?"]
    assert result.state is SagaState.COMPENSATED
    assert result.compensations[0].is_uncertain


async def test_step_whose_errors_mean_that_nothing_happened_is_not_undone(world: World) -> None:
    saga = Saga("order").step("a", world.fails(ValueError()), compensate=world.undoes(), compensate_on_failure=False)

    result = await saga.run(check=False)

    assert world.told == ["a 1"]
    assert result.compensations[0].outcome == "skipped"


async def test_step_that_ran_out_of_time_is_undone_whatever_its_errors_mean(world: World) -> None:
    clock = VirtualClock()

    async def hang(ctx: SagaContext[Any]) -> None:
        await clock.sleep(3600)

    saga = Saga("order").step("a", hang, compensate=world.undoes(), compensate_on_failure=False, timeout="5s")
    result = await _run(saga, clock, seconds=10)

    assert world.told == ["undo a ?"]
    assert result.error is not None
    assert result.error.type == SagaStepTimeoutError.__name__


async def test_refusal_after_an_attempt_of_unknown_outcome_is_no_proof(world: World) -> None:
    act = world.fails(ConnectionError("cut"), StepRefusedError("was charged already"))
    saga = Saga("order").step("a", act, compensate=world.undoes(), retry=StepRetry(2, base=0))

    await saga.run(check=False)

    assert world.told == ["a 1", "a 2", "undo a ?"]


async def test_step_is_tried_again_by_its_policy(world: World) -> None:
    clock = VirtualClock()
    act = world.fails(ConnectionError(), ConnectionError(), None)
    saga = Saga("order").step("a", act, retry=StepRetry(3, base="10s", jitter=False))

    started = clock.time()
    result = await _run(saga, clock, seconds=60)

    assert world.told == ["a 1", "a 2", "a 3"]
    assert result.results == {"a": "done"}
    assert clock.time() - started >= 30.0


async def test_step_is_not_tried_again_unless_that_is_said(world: World) -> None:
    await Saga("order").step("a", world.fails(ConnectionError())).run(check=False)

    assert world.told == ["a 1"]


async def test_compensation_that_fails_is_tried_again_and_the_others_are_done_all_the_same(world: World) -> None:
    clock = VirtualClock()
    saga = (
        Saga("order")
        .step("a", world.does(1), compensate=world.undoes())
        .step("b", world.does(2), compensate=world.undoes(OSError("secret: password=hunter2")), compensate_retry=2)
        .step("c", world.does(3), compensate=world.undoes(OSError(), None))
        .step("d", world.fails(StepRefusedError("no")))
    )

    result = await _run(saga, clock, seconds=60)

    assert world.told == ["a", "b", "c", "d 1", "undo c 3", "undo c 3", "undo b 2", "undo b 2", "undo a 1"]
    assert result.state is SagaState.COMPENSATION_FAILED
    by_name = {report.name: report for report in result.compensations}
    assert (by_name["b"].outcome, by_name["b"].attempts) == ("failed", 2)
    assert by_name["b"].error is not None
    assert "hunter2" not in by_name["b"].error.text
    assert (by_name["c"].outcome, by_name["a"].outcome) == ("ok", "ok")
    assert result.error is not None
    assert result.error.type == "StepRefusedError"
    with pytest.raises(SagaFailedError, match="not undone: b"):
        result.require_completed()


async def test_compensation_that_hangs_has_a_limit(world: World) -> None:
    clock = VirtualClock()

    async def hang(ctx: CompensationContext[Any]) -> None:
        await clock.sleep(3600)

    saga = (
        Saga("order")
        .step("a", world.does(), compensate=hang, compensate_timeout="2s", compensate_retry=1)
        .step("b", world.fails(StepRefusedError("no")))
    )

    result = await _run(saga, clock, seconds=10)

    assert result.state is SagaState.COMPENSATION_FAILED
    assert result.compensations[-1].error is not None
    assert result.compensations[-1].error.type == "SagaStepTimeoutError"


async def test_deadline_ends_the_step_that_runs_and_the_saga(world: World) -> None:
    clock = VirtualClock()

    async def slow(ctx: SagaContext[Any]) -> None:
        await clock.sleep(45)

    saga = (
        Saga("order", deadline="1m")
        .step("a", slow, compensate=world.undoes(), timeout=None)
        .step("b", slow, compensate=world.undoes(), timeout=None, retry=5)
        .step("c", world.does())
    )
    result = await _run(saga, clock, seconds=120)

    assert result.state is SagaState.COMPENSATED
    assert result.error is not None
    assert result.error.type == SagaDeadlineError.__name__
    assert world.told == ["undo b ?", "undo a None"]


async def test_wait_that_would_end_after_the_deadline_is_not_begun(world: World) -> None:
    clock = VirtualClock()
    started = clock.time()
    act = world.fails(ConnectionError())
    saga = Saga("order", deadline="5s").step("a", act, retry=StepRetry(9, base="10s", jitter=False))

    result = await _run(saga, clock, seconds=0)

    assert result.error is not None
    assert result.error.type == SagaDeadlineError.__name__
    assert clock.time() == started


async def test_result_without_a_json_form_fails_the_step_and_undoes_it(world: World) -> None:
    async def act(ctx: SagaContext[Any]) -> object:
        return object()

    saga = Saga("order").step("a", act, compensate=world.undoes(), retry=5, compensate_on_failure=False)

    with pytest.raises(SagaFailedError) as failed:
        await saga.run()

    assert world.told == ["undo a ?"]
    assert isinstance(failed.value.__cause__, SagaStepResultError)


async def test_stray_cancellation_in_a_step_is_a_failed_step(world: World) -> None:
    act = world.fails(asyncio.CancelledError("of something else"))

    result = await Saga("order").step("a", act, compensate=world.undoes()).run(check=False)

    assert result.state is SagaState.COMPENSATED
    assert world.told == ["a 1", "undo a ?"]


async def test_cancelled_saga_in_memory_is_undone_before_the_cancellation_goes_on(world: World) -> None:
    begun = anyio.Event()

    async def hang(ctx: SagaContext[Any]) -> None:
        begun.set()
        await anyio.sleep_forever()

    saga = Saga("order").step("a", world.does(1), compensate=world.undoes()).step("b", hang, compensate=world.undoes())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(saga.run)
        await begun.wait()
        tasks.cancel_scope.cancel()

    assert world.told == ["a", "undo b ?", "undo a 1"]


async def test_what_cannot_be_undone_in_time_after_a_cancellation_is_told(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    clock = VirtualClock()
    begun = anyio.Event()

    async def hang(ctx: SagaContext[Any]) -> None:
        begun.set()
        await anyio.sleep_forever()

    async def hang_again(ctx: CompensationContext[Any]) -> None:
        await clock.sleep(3600)

    saga = Saga("order").step("a", hang, compensate=hang_again, compensate_timeout=None, timeout=None)
    ended = anyio.Event()

    async def run() -> None:
        try:
            await saga.run(clock=clock)
        finally:
            ended.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await begun.wait()
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await clock.advance(31)
            await ended.wait()

    assert "saga was cancelled, and not everything is undone" in [record.message for record in caplog.records]


async def test_steps_are_told_with_the_names_of_the_saga(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    await Saga("order").step("a", world.does()).run(id="order-7")

    told = [(record.message, getattr(record, "saga_id", None)) for record in caplog.records]
    assert ("saga step done", "order-7") in told
    assert ("saga ended", "order-7") in told


async def _run(saga: Saga[Any], clock: VirtualClock, *, seconds: float) -> Any:
    """Run a saga while time passes, and return its result."""
    results: list[Any] = []

    async def run() -> None:
        results.append(await saga.run(clock=clock, check=False))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await clock.advance(seconds)
    return results[0]
