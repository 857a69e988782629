"""A saga's definition: a value that refuses what could not be run, undone or found again."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from undercroft._core.durations import DurationError
from undercroft._core.errors import UndercroftError
from undercroft.resilience import (
    CompensationContext,
    Saga,
    SagaContext,
    SagaDataError,
    SagaDefinitionError,
    SagaOrchestrator,
    StepRefusedError,
    StepRetry,
)

pytestmark = pytest.mark.anyio


async def act(ctx: SagaContext[Any]) -> str:
    return ctx.step


async def undo(ctx: CompensationContext[Any]) -> None: ...


def test_step_returns_another_saga_and_changes_none() -> None:
    first = Saga("order")
    second = first.step("reserve", act)

    assert first.steps == ()
    assert [step.name for step in second.steps] == ["reserve"]
    assert (second.name, second.version) == ("order", 1)


def test_two_steps_of_one_name_are_refused() -> None:
    with pytest.raises(SagaDefinitionError, match="'charge': there is a step of this name already"):
        Saga("order").step("charge", act).step("charge", act)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\n", "x" * 101, 5, None])
def test_name_that_could_not_be_told_apart_is_refused(name: Any) -> None:
    with pytest.raises(SagaDefinitionError, match="is not valid"):
        Saga(name)
    with pytest.raises(SagaDefinitionError, match="is not valid"):
        Saga("order").step(name, act)


@pytest.mark.parametrize("action", [lambda ctx: None, None, "act"])
def test_action_that_is_not_async_is_refused(action: Any) -> None:
    with pytest.raises(SagaDefinitionError, match="not an async function"):
        Saga("order").step("reserve", action)
    if action is not None:
        with pytest.raises(SagaDefinitionError, match="not an async function"):
            Saga("order").step("reserve", act, compensate=action)


@pytest.mark.parametrize("retry", [0, True, "3", 1001, -1])
def test_number_of_attempts_that_is_none_is_refused(retry: Any) -> None:
    with pytest.raises(SagaDefinitionError):
        Saga("order").step("reserve", act, retry=retry)


def test_timeout_of_nothing_is_refused() -> None:
    with pytest.raises(SagaDefinitionError, match="would never let it begin"):
        Saga("order").step("reserve", act, timeout=0)
    with pytest.raises(SagaDefinitionError, match="would never let it begin"):
        Saga("order", deadline=0)
    with pytest.raises(DurationError):
        Saga("order").step("reserve", act, timeout="soon")


async def test_saga_without_steps_is_refused_before_anything_runs() -> None:
    with pytest.raises(SagaDefinitionError, match="has no steps"):
        await Saga("order").run()


class Order(msgspec.Struct):
    sku: str
    count: int = 1


async def test_data_is_what_the_schema_says() -> None:
    seen: list[Order] = []

    async def look(ctx: SagaContext[Order]) -> None:
        seen.append(ctx.data)

    saga = Saga("order", schema=Order).step("look", look)
    await saga.run({"sku": "A-1"})

    assert seen == [Order("A-1")]
    with pytest.raises(SagaDataError):
        await saga.run({"sku": 5})
    with pytest.raises(SagaDataError):
        await Saga("order").step("look", act).run(object())


# --- Retry ----------------------------------------------------------------------------------------------------------


def test_waits_grow_up_to_the_cap() -> None:
    retry = StepRetry(5, base="1s", cap="3s", jitter=False)

    assert [retry.delay_s(failures, ValueError()) for failures in range(1, 6)] == [1.0, 2.0, 3.0, 3.0, None]


def test_wait_is_drawn_from_nothing_up_to_that() -> None:
    retry = StepRetry(3, base="10s")

    assert retry.delay_s(1, ValueError(), draw=lambda: 0.25) == 2.5


def test_error_that_is_not_worth_it_is_not_tried_again() -> None:
    retry = StepRetry(3, on=(ConnectionError, TimeoutError))

    assert retry.delay_s(1, ValueError()) is None
    assert retry.delay_s(1, TimeoutError(), draw=lambda: 0.0) == 0.0
    assert StepRetry(3).delay_s(1, StepRefusedError("no")) is None


def test_longer_wait_that_is_asked_for_is_given() -> None:
    error = StepRetry(3).delay_s(1, _Busy("busy", retry_after=90.0))

    assert error == 90.0


class _Busy(UndercroftError):
    pass


def test_what_is_no_error_cannot_be_retried() -> None:
    with pytest.raises(SagaDefinitionError):
        StepRetry(3, on=())
    with pytest.raises(SagaDefinitionError):
        StepRetry(3, on=(KeyboardInterrupt,))  # type: ignore[arg-type]


# --- Mappings -------------------------------------------------------------------------------------------------------


async def test_orchestrator_takes_mappings() -> None:
    done: list[str] = []

    async def reserve() -> int:
        done.append("reserve")
        return 5

    async def charge(ctx: SagaContext[Any]) -> None:
        done.append(f"charge {ctx.results['step-1']}")
        raise StepRefusedError("declined")

    async def unreserve(ctx: CompensationContext[Any]) -> None:
        done.append(f"unreserve {ctx.result}")

    orchestrator = SagaOrchestrator("order", steps=[{"execute": reserve, "compensate": unreserve}])
    result = await orchestrator.add_step({"name": "charge", "execute": charge, "timeout": "5s"}).run(check=False)

    assert done == ["reserve", "charge 5", "unreserve 5"]
    assert result.state == "compensated"
    assert orchestrator.saga.steps[1].timeout_s == 5.0


def test_orchestrator_refuses_what_it_does_not_know() -> None:
    with pytest.raises(SagaDefinitionError, match="near: compensate"):
        SagaOrchestrator().add_step({"execute": act, "compensat": undo})
    with pytest.raises(SagaDefinitionError, match="there is no 'execute'"):
        SagaOrchestrator().add_step({"compensate": undo})
