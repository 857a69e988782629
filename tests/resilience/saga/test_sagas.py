"""Sagas in a store: started once, driven by one job at a time, parked, resumed, listed and forgotten."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest

from tests.resilience.saga._worlds import FaultyStore, HurriedClock, work
from undercroft._core.bound import bind
from undercroft.monitoring import get_counter
from undercroft.resilience import (
    CompensationContext,
    MemorySagaStore,
    Saga,
    SagaConflictError,
    SagaContext,
    SagaDataError,
    SagaDefinitionError,
    SagaFailedError,
    SagaLostError,
    SagaNotFoundError,
    SagaNotRegisteredError,
    SagaResultTimeoutError,
    Sagas,
    SagaState,
    SagaStateError,
    StepRefusedError,
    StepRetry,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> HurriedClock:
    return HurriedClock()


@pytest.fixture
def store(clock: HurriedClock) -> MemorySagaStore:
    return MemorySagaStore(clock=clock)


async def act(ctx: SagaContext[Any]) -> str:
    return f"{ctx.step} {ctx.attempt}"


async def refuse(ctx: SagaContext[Any]) -> None:
    raise StepRefusedError("no")


class Undo:
    """A compensation that fails until it is mended."""

    def __init__(self) -> None:
        self.is_mended = False
        self.calls: list[str] = []

    async def __call__(self, ctx: CompensationContext[Any]) -> None:
        self.calls.append(ctx.step)
        if not self.is_mended:
            raise OSError("the bank is closed")


ORDER = Saga("order").step("reserve", act).step("charge", act)
BROKEN = Saga("broken").step("reserve", act).step("charge", refuse)


# --- Starting -------------------------------------------------------------------------------------------------------


async def test_start_stores_the_saga_and_its_job_in_one_step(store: MemorySagaStore, clock: HurriedClock) -> None:
    sagas = Sagas(store, [ORDER], clock=clock)

    handle = await sagas.start(ORDER, {"sku": 1}, id="order-7")

    assert (handle.id, handle.saga, handle.is_new) == ("order-7", "order", True)
    assert [saga_id for saga_id, _ in store.jobs] == ["order-7"]
    info = await sagas.require("order-7")
    assert (info.state, info.data, info.steps) == (SagaState.RUNNING, {"sku": 1}, ())


async def test_saga_of_one_id_is_started_once(store: MemorySagaStore, clock: HurriedClock) -> None:
    sagas = Sagas(store, [ORDER], clock=clock)
    first = await sagas.start(ORDER, {"sku": 1, "n": 2}, id="order-7")

    again = await sagas.start("order", {"n": 2, "sku": 1}, id="order-7")

    assert (first.is_new, again.is_new) == (True, False)
    assert len(store.jobs) == 1


async def test_start_whose_answer_got_lost_is_recognised(clock: HurriedClock) -> None:
    store = FaultyStore(clock, at=1, fault="unavailable after")
    sagas = Sagas(store, [ORDER], clock=clock)
    with pytest.raises(Exception, match="the answer got lost"):
        await sagas.start(ORDER, id="order-7")

    handle = await sagas.start(ORDER, id="order-7")

    assert not handle.is_new
    assert len(store.jobs) == 1


async def test_id_of_another_saga_is_refused(store: MemorySagaStore, clock: HurriedClock) -> None:
    sagas = Sagas(store, [ORDER, BROKEN], clock=clock)
    await sagas.start(ORDER, {"sku": 1}, id="order-7")

    with pytest.raises(SagaConflictError, match="other data"):
        await sagas.start(ORDER, {"sku": 2}, id="order-7")
    with pytest.raises(SagaConflictError, match="is a saga 'order', and not 'broken'"):
        await sagas.start(BROKEN, {"sku": 1}, id="order-7")
    assert len(store.jobs) == 1


async def test_saga_that_is_not_registered_is_refused(store: MemorySagaStore, clock: HurriedClock) -> None:
    sagas = Sagas(store, [ORDER], clock=clock)

    with pytest.raises(SagaNotRegisteredError, match="near: order"):
        await sagas.start("ordr")
    with pytest.raises(SagaNotRegisteredError, match="version 2"):
        await sagas.start(Saga("order", version=2).step("a", act))
    with pytest.raises(SagaDataError):
        await sagas.start(ORDER, object())
    for wrong in ("", "a b", "x" * 201):
        with pytest.raises(SagaDefinitionError):
            await sagas.start(ORDER, id=wrong)
    assert store.jobs == []


def test_two_definitions_of_one_name_and_version_are_refused(store: MemorySagaStore) -> None:
    with pytest.raises(SagaDefinitionError, match="two sagas are called 'order'"):
        Sagas(store, [ORDER, Saga("order").step("a", act)])
    with pytest.raises(SagaDefinitionError, match="has no steps"):
        Sagas(store, [Saga("empty")])


async def test_saga_starts_itself_where_sagas_are_bound(store: MemorySagaStore, clock: HurriedClock) -> None:
    class Source:
        def get_part(self, name: str) -> object:
            assert name == "sagas"
            return Sagas(store, [ORDER], clock=clock)

    with bind(Source()):
        handle = await ORDER.start({"sku": 1}, id="order-7")

    assert handle.is_new


# --- Running --------------------------------------------------------------------------------------------------------


async def test_saga_is_run_by_its_job(store: MemorySagaStore, clock: HurriedClock) -> None:
    sagas = Sagas(store, [ORDER], clock=clock)
    handle = await sagas.start(ORDER)

    await work(store, [ORDER], clock)

    result = await handle.result()
    assert result.state is SagaState.COMPLETED
    assert result.results == {"reserve": "reserve 1", "charge": "charge 1"}


async def test_result_of_a_saga_that_failed_is_raised_or_returned(store: MemorySagaStore, clock: HurriedClock) -> None:
    handle = await Sagas(store, [BROKEN], clock=clock).start(BROKEN)
    await work(store, [BROKEN], clock)

    with pytest.raises(SagaFailedError) as failed:
        await handle.result()
    assert failed.value.result == await handle.result(check=False)
    assert await handle.state() is SagaState.COMPENSATED


async def test_result_is_not_waited_for_for_ever(store: MemorySagaStore, clock: HurriedClock) -> None:
    handle = await Sagas(MemorySagaStore(), [ORDER]).start(ORDER)

    with pytest.raises(SagaResultTimeoutError, match="has not ended after 100ms"):
        await handle.result("100ms")


async def test_long_wait_is_given_back_to_the_queue(store: MemorySagaStore, clock: HurriedClock) -> None:
    async def fail_once(ctx: SagaContext[Any]) -> int:
        if ctx.attempt == 1:
            raise ConnectionError
        return ctx.attempt

    saga = Saga("order").step("a", fail_once, retry=StepRetry(2, base="30s", jitter=False))
    sagas = Sagas(store, [saga], clock=clock)
    handle = await sagas.start(saga)
    ((_, job_id),) = store.jobs

    assert await sagas.advance(handle.id, job_id=job_id) == 30.0
    info = await handle.info()
    assert info is not None
    assert [(step.outcome, step.attempts) for step in info.steps] == [("waiting", 1)]
    assert await sagas.advance(handle.id, job_id=job_id) is None
    assert (await handle.result()).results == {"a": 2}


async def test_job_of_another_run_does_nothing(store: MemorySagaStore, clock: HurriedClock) -> None:
    sagas = Sagas(store, [ORDER], clock=clock)
    handle = await sagas.start(ORDER)

    assert await sagas.advance(handle.id, job_id="another") is None
    assert await sagas.advance("nobody", job_id="another") is None

    assert await handle.state() is SagaState.RUNNING


async def test_worker_that_was_thought_dead_records_nothing(store: MemorySagaStore, clock: HurriedClock) -> None:
    """It sleeps in the middle of a step; another worker takes over; then it wakes up."""
    asleep, awake, runs = anyio.Event(), anyio.Event(), list[str]()

    async def sleepy(ctx: SagaContext[Any]) -> str:
        runs.append(f"{ctx.step} {ctx.attempt}")
        if ctx.attempt == 1 and ctx.step == "a":
            asleep.set()
            await awake.wait()
            return "the sleeper's"
        return "the other's"

    saga = Saga("order").step("a", sleepy).step("b", sleepy)
    sagas = Sagas(store, [saga], clock=clock)
    handle = await sagas.start(saga)
    ((_, job_id),) = store.jobs
    lost: list[BaseException] = []

    async def sleeper() -> None:
        try:
            await sagas.advance(handle.id, job_id=job_id)
        except SagaLostError as exc:
            lost.append(exc)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sleeper)
        await asleep.wait()
        assert await Sagas(store, [saga], clock=clock).advance(handle.id, job_id=job_id) is None
        awake.set()

    assert len(lost) == 1
    assert runs == ["a 1", "a 2", "b 1"]
    assert (await handle.result()).results == {"a": "the other's", "b": "the other's"}


async def test_step_that_is_cancelled_with_its_worker_is_run_again_and_that_is_no_crash(
    store: MemorySagaStore, clock: HurriedClock
) -> None:
    begun = anyio.Event()

    async def slow(ctx: SagaContext[Any]) -> int:
        if ctx.attempt <= 5:
            begun.set()
            await anyio.sleep_forever()
        return ctx.attempt

    saga = Saga("order").step("a", slow)
    sagas = Sagas(store, [saga], clock=clock)
    handle = await sagas.start(saga)
    ((_, job_id),) = store.jobs

    for _ in range(5):
        begun = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: sagas.advance(handle.id, job_id=job_id))
            await begun.wait()
            tasks.cancel_scope.cancel()

    await sagas.advance(handle.id, job_id=job_id)
    assert (await handle.result()).results == {"a": 6}


async def test_saga_whose_job_failed_for_good_gets_another(store: MemorySagaStore, clock: HurriedClock) -> None:
    sagas = Sagas(store, [ORDER], clock=clock)
    handle = await sagas.start(ORDER)
    ((_, job_id),) = store.jobs
    store.jobs.clear()

    assert not await sagas.rescue(handle.id, job_id="another")
    assert await sagas.rescue(handle.id, job_id=job_id)
    assert not await sagas.rescue(handle.id, job_id=job_id)

    await work(store, [ORDER], clock)
    assert (await handle.result()).is_completed


# --- Definitions that change ----------------------------------------------------------------------------------------


async def _begun(store: MemorySagaStore, clock: HurriedClock, saga: Saga[Any]) -> tuple[Any, str]:
    """Return a saga whose last step waits for its second attempt."""
    sagas = Sagas(store, [saga], clock=clock)
    handle = await sagas.start(saga, {"sku": 1})
    ((_, job_id),) = store.jobs
    assert await sagas.advance(handle.id, job_id=job_id) == 30.0
    return handle, job_id


async def fail_once(ctx: SagaContext[Any]) -> int:
    if ctx.attempt == 1:
        raise ConnectionError
    return ctx.attempt


LATER = StepRetry(2, base="30s", jitter=False)
OLD = Saga("order").step("a", act).step("b", fail_once, retry=LATER)


async def test_saga_goes_on_when_steps_were_added_behind(store: MemorySagaStore, clock: HurriedClock) -> None:
    handle, job_id = await _begun(store, clock, OLD)

    assert await Sagas(store, [OLD.step("c", act)], clock=clock).advance(handle.id, job_id=job_id) is None

    assert (await handle.result()).results == {"a": "a 1", "b": 2, "c": "c 1"}


@pytest.mark.parametrize(
    ("definitions", "problem"),
    [
        ([Saga("order").step("a", act).step("x", act).step("b", act)], "a, b have begun"),
        ([Saga("order").step("a", act)], "a, b have begun"),
        (
            [Saga("order", version=2).step("a", act)],
            "version 1 of saga 'order' is not registered; its versions here: 2",
        ),
        ([Saga("other").step("a", act)], "no saga of this name"),
        ([Saga("order", schema=int).step("a", act).step("b", act)], "does not fit the schema"),
    ],
)
async def test_saga_that_cannot_go_on_is_parked_and_nothing_of_it_is_lost(
    store: MemorySagaStore, clock: HurriedClock, definitions: list[Saga[Any]], problem: str
) -> None:
    handle, job_id = await _begun(store, clock, OLD)
    before = await handle.info()
    parked = get_counter("undercroft_sagas_parked_total", {"saga": "order"})

    again_in_s = await Sagas(store, definitions, clock=clock).advance(handle.id, job_id=job_id)

    assert again_in_s == 60.0
    assert get_counter("undercroft_sagas_parked_total", {"saga": "order"}) == parked + 1
    info = await handle.info()
    assert info is not None
    assert problem in info.problem
    assert (info.state, info.steps, info.results) == (before.state, before.steps, before.results)

    # A deploy brings the definition back.
    assert await Sagas(store, [OLD], clock=clock).advance(handle.id, job_id=job_id) is None
    assert (await handle.result()).results == {"a": "a 1", "b": 2}
    ended = await handle.info()
    assert ended is not None
    assert ended.problem is None


async def test_saga_goes_on_by_the_version_that_it_was_started_with(
    store: MemorySagaStore, clock: HurriedClock
) -> None:
    handle, job_id = await _begun(store, clock, OLD)
    new = Saga("order", version=2).step("all", act)
    sagas = Sagas(store, [new, OLD], clock=clock)

    await sagas.advance(handle.id, job_id=job_id)
    fresh = await sagas.start("order", id="new")

    assert (await handle.result()).results == {"a": "a 1", "b": 2}
    assert (await sagas.require(fresh.id)).version == 2


async def test_saga_of_a_later_format_is_left_alone(store: MemorySagaStore, clock: HurriedClock) -> None:
    sagas = Sagas(store, [ORDER], clock=clock)
    handle = await sagas.start(ORDER)
    stored = await store.load(handle.id)
    assert stored is not None
    await store.save(handle.id, stored.data.replace(b'"v":1', b'"v":2'), version=1)

    with pytest.raises(Exception, match="format 2, and this release knows 1"):
        await sagas.advance(handle.id, job_id="any")


# --- Resuming -------------------------------------------------------------------------------------------------------


async def test_resumed_saga_tries_what_was_not_undone(store: MemorySagaStore, clock: HurriedClock) -> None:
    bank, shop = Undo(), Undo()
    shop.is_mended = True
    saga = Saga("order").step("a", act, compensate=bank).step("b", act, compensate=shop).step("c", refuse)
    sagas = Sagas(store, [saga], clock=clock)
    handle = await sagas.start(saga)
    await work(store, [saga], clock)
    assert await handle.state() is SagaState.COMPENSATION_FAILED
    assert [found.saga_id for found in await sagas.list(state="compensation_failed")] == [handle.id]

    bank.is_mended = True
    await sagas.resume(handle.id)
    assert await handle.state() is SagaState.COMPENSATING
    await work(store, [saga], clock)

    result = await handle.result(check=False)
    assert result.state is SagaState.COMPENSATED
    assert (len(bank.calls), len(shop.calls)) == (4, 1)
    assert result.error is not None
    assert result.error.type == "StepRefusedError"


async def test_saga_that_lost_its_job_is_resumed(store: MemorySagaStore, clock: HurriedClock) -> None:
    sagas = Sagas(store, [ORDER], clock=clock)
    handle = await sagas.start(ORDER)
    ((_, old),) = store.jobs
    store.jobs.clear()

    await sagas.resume(handle.id)

    assert await sagas.advance(handle.id, job_id=old) is None
    assert await handle.state() is SagaState.RUNNING
    await work(store, [ORDER], clock)
    assert (await handle.result()).is_completed


async def test_saga_that_is_done_is_not_resumed(store: MemorySagaStore, clock: HurriedClock) -> None:
    sagas = Sagas(store, [ORDER], clock=clock)
    handle = await sagas.start(ORDER)
    await work(store, [ORDER], clock)

    with pytest.raises(SagaStateError, match="is completed"):
        await sagas.resume(handle.id)
    with pytest.raises(SagaNotFoundError):
        await sagas.resume("nobody")


# --- Looking and forgetting -----------------------------------------------------------------------------------------


async def test_newest_sagas_are_listed_first(store: MemorySagaStore, clock: HurriedClock) -> None:
    sagas = Sagas(store, [ORDER, BROKEN], clock=clock)
    for number in range(300):
        await sagas.start(ORDER if number % 2 else BROKEN, id=f"saga-{number}")
        await clock.advance(1)

    assert [info.saga_id for info in await sagas.list(limit=3)] == ["saga-299", "saga-298", "saga-297"]
    assert [info.saga_id for info in await sagas.list(saga="broken", limit=2)] == ["saga-298", "saga-296"]
    assert len(await sagas.list(limit=1000)) == 300
    assert await sagas.list(state=SagaState.COMPLETED) == ()
    with pytest.raises(SagaDefinitionError, match="near: running"):
        await sagas.list(state="runing")
    with pytest.raises(SagaDefinitionError):
        await sagas.list(limit=0)


async def test_get_returns_nothing_and_require_raises(store: MemorySagaStore, clock: HurriedClock) -> None:
    sagas = Sagas(store, [ORDER], clock=clock)

    assert await sagas.get("nobody") is None
    with pytest.raises(SagaNotFoundError):
        await sagas.require("nobody")
    with pytest.raises(SagaNotFoundError):
        await sagas.handle("nobody")
    assert not await sagas.delete("nobody")


async def test_saga_is_deleted_once_it_has_ended(store: MemorySagaStore, clock: HurriedClock) -> None:
    sagas = Sagas(store, [ORDER], clock=clock)
    handle = await sagas.start(ORDER)
    with pytest.raises(SagaStateError):
        await sagas.delete(handle.id)
    await work(store, [ORDER], clock)

    assert await sagas.delete(handle.id)

    assert await sagas.get(handle.id) is None
    with pytest.raises(SagaNotFoundError):
        await handle.result()


async def test_old_sagas_are_forgotten_as_others_end(store: MemorySagaStore, clock: HurriedClock) -> None:
    sagas = Sagas(store, [ORDER], clock=clock, keep="1d")
    for number in range(100):
        await sagas.start(ORDER, id=f"old-{number:03}")
    await work(store, [ORDER], clock)
    await clock.advance("2d")
    running = await sagas.start(ORDER, id="running")
    store.jobs.clear()

    for number in range(30):
        handle = await sagas.start(ORDER, id=f"new-{number}")
        ((_, job_id),) = store.jobs
        await sagas.advance(handle.id, job_id=job_id)
        store.jobs.clear()

    left = {info.saga_id for info in await sagas.list(limit=1000)}
    assert left == {running.id, *(f"new-{number}" for number in range(30))}


async def test_saga_that_needs_somebody_is_not_forgotten(store: MemorySagaStore, clock: HurriedClock) -> None:
    saga = Saga("stuck").step("a", act, compensate=Undo()).step("b", refuse)
    sagas = Sagas(store, [saga, ORDER], clock=clock, keep="1d")
    stuck = await sagas.start(saga)
    await sagas.start(ORDER)
    await work(store, [saga, ORDER], clock)
    await clock.advance("30d")

    assert await sagas.prune() == 1

    assert await stuck.state() is SagaState.COMPENSATION_FAILED
    assert await Sagas(store, [saga], clock=clock, keep=None).prune() == 0


async def test_ends_are_counted_and_told(
    store: MemorySagaStore, clock: HurriedClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    saga = Saga("counted").step("a", act, compensate=Undo()).step("b", refuse)
    await Sagas(store, [saga], clock=clock).start(saga)
    await work(store, [saga], clock)

    assert get_counter("undercroft_sagas_started_total", {"saga": "counted"}) == 1
    assert get_counter("undercroft_sagas_total", {"saga": "counted", "state": "compensation_failed"}) == 1
    step = {"saga": "counted", "step": "a"}
    assert get_counter("undercroft_saga_steps_total", {**step, "outcome": "done"}) == 1
    assert get_counter("undercroft_saga_compensations_total", {**step, "outcome": "retried"}) == 2
    assert get_counter("undercroft_saga_compensations_total", {**step, "outcome": "failed"}) == 1
    assert "saga ended, and not everything is undone" in [record.message for record in caplog.records]
