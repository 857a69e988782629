"""Opening all or nothing, closing everything: in order, under a deadline, whoever is cancelled when."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import pytest

from undercroft._core.errors import CloseTimeoutError, NotOpenError, UndercroftError
from undercroft._core.lifecycle import Lifecycle

pytestmark = pytest.mark.anyio
KEEPER = "undercroft parts"
LAST_CHANCE_S = 0.25
BUSY_S = 1.5
"""What a busy machine may add; what hangs, hangs for an hour."""


class House:
    """Makes parts and notes what happens to them."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.is_closing = asyncio.Event()

    def part(
        self,
        name: str,
        *,
        turns: int = 2,
        opening: Callable[[], Any] | None = None,
        closing: Callable[[], Any] | None = None,
    ) -> tuple[str, Any]:
        """A part that takes `turns` of the loop to open and to close, and does what it is told on the way."""

        @asynccontextmanager
        async def live() -> AsyncIterator[None]:
            self.log.append(f"opening {name}")
            await self._take(turns, opening)
            self.log.append(f"open {name}")
            yield
            self.log.append(f"closing {name}")
            self.is_closing.set()
            await self._take(turns, closing)
            self.log.append(f"closed {name}")

        return name, live()

    async def _take(self, turns: int, do: Callable[[], Any] | None) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        if do is not None:
            await do()

    def of(self, event: str) -> list[str]:
        return [line.partition(" ")[2] for line in self.log if line.partition(" ")[0] == event]


@pytest.fixture
async def house() -> House:
    return House()


async def fail() -> None:
    raise ValueError("broken")


async def hang() -> None:
    await asyncio.sleep(3600)


async def cancelled() -> None:
    """What a part does that awaits a task it has cancelled."""
    raise asyncio.CancelledError


def lifecycle(*parts: tuple[str, Any], close_timeout: float = 5) -> Lifecycle:
    return Lifecycle(parts, close_timeout=close_timeout)


def errors_of(caught: pytest.ExceptionInfo[ExceptionGroup[Exception]]) -> list[tuple[type[Exception], str]]:
    return [(type(error), str(error)) for error in caught.value.exceptions]


def assert_nothing_is_half_open(house: House) -> None:
    assert house.of("closed") == house.of("open")[::-1]
    assert not [task for task in asyncio.all_tasks() if task.get_name() == KEEPER]


async def test_parts_are_opened_one_after_the_other_in_order(house: House) -> None:
    life = lifecycle(house.part("a"), house.part("b"))
    await life.open()

    assert house.log == ["opening a", "open a", "opening b", "open b"]
    await life.close()


async def test_parts_are_closed_one_after_the_other_in_reverse(house: House) -> None:
    life = lifecycle(house.part("a"), house.part("b"))
    await life.open()
    house.log.clear()
    await life.close()

    assert house.log == ["closing b", "closed b", "closing a", "closed a"]


async def test_nothing_happens_before_opening(house: House) -> None:
    lifecycle(house.part("a"))

    assert house.log == []


async def test_error_of_a_part_that_does_not_open_is_raised(house: House) -> None:
    with pytest.raises(ValueError, match="broken"):
        await lifecycle(house.part("a", opening=fail)).open()


async def test_parts_before_one_that_does_not_open_are_closed_in_reverse(house: House) -> None:
    life = lifecycle(house.part("a"), house.part("b"), house.part("c", opening=fail), house.part("d"))
    with pytest.raises(ValueError, match="broken"):
        await life.open()

    assert house.of("opening") == ["a", "b", "c"]
    assert house.of("closed") == ["b", "a"]
    assert_nothing_is_half_open(house)


async def test_error_on_the_way_back_is_a_note_of_the_first_error(house: House) -> None:
    life = lifecycle(house.part("a", closing=fail), house.part("b", opening=fail))
    with pytest.raises(ValueError, match="broken") as caught:
        await life.open()

    assert caught.value.__notes__ == ["while closing after this failure: ValueError('broken')"]


async def test_closing_after_a_failed_opening_does_nothing(house: House) -> None:
    life = lifecycle(house.part("a"), house.part("b", opening=fail))
    with suppress(ValueError):
        await life.open()
    house.log.clear()
    await life.close()

    assert house.log == []


async def test_closing_before_opening_does_nothing(house: House) -> None:
    await lifecycle(house.part("a")).close()

    assert house.log == []


async def test_it_is_opened_once_only(house: House) -> None:
    life = lifecycle(house.part("a"))
    await life.open()
    with pytest.raises(NotOpenError, match="already opened once"):
        await life.open()
    await life.close()


async def test_it_is_not_opened_again_after_it_was_closed(house: House) -> None:
    life = lifecycle(house.part("a"))
    await life.open()
    await life.close()
    with pytest.raises(NotOpenError, match="already opened once"):
        await life.open()


async def test_each_part_is_closed_once_however_often_it_is_asked(house: House) -> None:
    life = lifecycle(house.part("a"))
    await life.open()
    await asyncio.gather(life.close(), life.close())
    await life.close()

    assert house.of("closed") == ["a"]


async def test_every_part_is_attempted_and_every_error_is_raised(house: House) -> None:
    life = lifecycle(house.part("a", closing=fail), house.part("b"), house.part("c", closing=fail))
    await life.open()
    with pytest.raises(ExceptionGroup) as caught:
        await life.close()

    assert errors_of(caught) == [(ValueError, "broken"), (ValueError, "broken")]
    assert house.of("closing") == ["c", "b", "a"]


async def test_part_that_lets_a_cancellation_out_does_not_keep_others_open(house: House) -> None:
    life = lifecycle(house.part("a"), house.part("b", closing=cancelled))
    await life.open()
    with pytest.raises(ExceptionGroup) as caught:
        await life.close()

    assert [type(error) for error in caught.value.exceptions] == [UndercroftError]
    assert "b was cancelled while it closed" in str(caught.value.exceptions[0])
    assert house.of("closed") == ["a"]


async def test_hanging_part_gets_a_timeout_that_names_it(house: House) -> None:
    life = lifecycle(house.part("a"), house.part("b", closing=hang), close_timeout=0.5)
    await life.open()
    with pytest.raises(ExceptionGroup) as caught:
        await life.close()

    assert [type(error) for error in caught.value.exceptions] == [CloseTimeoutError]
    assert re.search(r"\bb did not close within \d+\.\ds$", str(caught.value.exceptions[0]))


async def test_parts_after_a_hanging_one_are_closed(house: House) -> None:
    life = lifecycle(house.part("a"), house.part("b", closing=hang), house.part("c"), close_timeout=0.5)
    await life.open()
    with pytest.raises(ExceptionGroup):
        await life.close()

    assert house.of("closed") == ["c", "a"]


@pytest.mark.parametrize(("close_timeout", "within"), [(1.0, 1.0), (0.0, 4 * LAST_CHANCE_S)])
async def test_time_of_hanging_parts_is_bounded_by_the_deadline(
    house: House, close_timeout: float, within: float
) -> None:
    life = lifecycle(*(house.part(name, closing=hang) for name in "abcd"), close_timeout=close_timeout)
    await life.open()
    before = time.monotonic()
    with pytest.raises(ExceptionGroup) as caught:
        await life.close()

    assert [type(error) for error in caught.value.exceptions] == [CloseTimeoutError] * 4
    assert time.monotonic() - before < within + BUSY_S


async def test_error_of_a_part_that_was_cut_short_is_the_cause_of_its_timeout(house: House) -> None:
    async def fail_when_cut() -> None:
        try:
            await hang()
        finally:
            await fail()

    life = lifecycle(house.part("a", closing=fail_when_cut), close_timeout=0)
    await life.open()
    with pytest.raises(ExceptionGroup) as caught:
        await life.close()

    assert isinstance(caught.value.exceptions[0], CloseTimeoutError)
    assert isinstance(caught.value.exceptions[0].__cause__, ValueError)


async def test_timeout_of_a_parts_own_is_not_called_ours(house: House) -> None:
    async def give_up() -> None:
        raise TimeoutError("the server did not answer")

    life = lifecycle(house.part("a", closing=give_up))
    await life.open()
    with pytest.raises(ExceptionGroup) as caught:
        await life.close()

    assert errors_of(caught) == [(TimeoutError, "the server did not answer")]


async def test_parts_are_entered_and_left_by_one_task(house: House) -> None:
    tasks: list[asyncio.Task[Any] | None] = []

    async def note() -> None:
        tasks.append(asyncio.current_task())

    life = lifecycle(house.part("a", opening=note, closing=note), house.part("b", opening=note, closing=note))
    await asyncio.create_task(life.open())
    await asyncio.create_task(life.close())

    assert len(tasks) == 4
    assert len(set(tasks)) == 1


async def test_part_with_a_task_group_may_be_opened_and_closed_by_different_tasks() -> None:
    ended: list[str] = []

    @asynccontextmanager
    async def with_background() -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.sleep_forever)
            yield
            tasks.cancel_scope.cancel()
        ended.append("background")

    life = lifecycle(("background", with_background()))
    await asyncio.create_task(life.open())
    await asyncio.create_task(life.close())

    assert ended == ["background"]


async def test_crash_in_a_parts_background_closes_everything_and_is_raised_by_close(house: House) -> None:
    crash = asyncio.Event()

    async def background() -> None:
        await crash.wait()
        raise ValueError("background broke")

    @asynccontextmanager
    async def with_background() -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(background)
            yield

    life = lifecycle(house.part("a"), ("background", with_background()))
    await life.open()
    crash.set()
    with anyio.fail_after(5), pytest.raises(ExceptionGroup) as caught:
        await life.close()

    assert caught.group_contains(ValueError, match="background broke")
    assert house.of("closed") == ["a"]


# Parts "a" and "b" take ten turns of the loop or so; more than these are after the end.
EACH_TURN = range(24)
each_turn = pytest.mark.parametrize("turn", EACH_TURN)


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@each_turn
async def test_opening_cancelled_natively_at_any_turn_leaves_nothing_half_open(house: House, turn: int) -> None:
    life = lifecycle(house.part("a"), house.part("b"))
    task = asyncio.create_task(life.open())
    await turns(turn)
    if not task.cancel():
        await life.close()
    with anyio.fail_after(5), suppress(asyncio.CancelledError):
        await task

    assert_nothing_is_half_open(house)


@each_turn
async def test_opening_cancelled_by_a_scope_at_any_turn_leaves_nothing_half_open(house: House, turn: int) -> None:
    life = lifecycle(house.part("a"), house.part("b"))

    async def cancel(scope: anyio.CancelScope) -> None:
        await turns(turn)
        scope.cancel()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as scope:
                tasks.start_soon(cancel, scope)
                await life.open()
            if not scope.cancelled_caught:
                await life.close()

    assert_nothing_is_half_open(house)


@each_turn
async def test_closing_cancelled_natively_at_any_turn_is_finished_first(house: House, turn: int) -> None:
    life = lifecycle(house.part("a"), house.part("b"))
    await life.open()
    task = asyncio.create_task(life.close())
    await turns(max(turn, 1))  # a task that never began has not been asked to close
    is_cut = task.cancel()
    with anyio.fail_after(5):
        await asyncio.wait({task})

    assert task.cancelled() is is_cut
    assert house.of("closed") == ["b", "a"]
    assert_nothing_is_half_open(house)


@each_turn
async def test_closing_cancelled_by_a_scope_at_any_turn_is_finished_first(house: House, turn: int) -> None:
    life = lifecycle(house.part("a"), house.part("b"))
    await life.open()

    async def cancel(scope: anyio.CancelScope) -> None:
        await turns(turn)
        scope.cancel()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as scope:
                tasks.start_soon(cancel, scope)
                await life.close()

    assert house.of("closed") == ["b", "a"]
    assert_nothing_is_half_open(house)


async def test_closing_cancelled_again_and_again_is_finished_first(house: House) -> None:
    life = lifecycle(house.part("a", turns=20), house.part("b", turns=20))
    await life.open()
    task = asyncio.create_task(life.close())
    while not task.done():
        await asyncio.sleep(0)
        task.cancel()

    assert house.of("closed") == ["b", "a"]


async def test_opening_cancelled_again_and_again_leaves_nothing_half_open(house: House) -> None:
    life = lifecycle(house.part("a", turns=5), house.part("b", opening=hang))
    task = asyncio.create_task(life.open())
    await turns(12)
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)

    assert house.of("closed") == ["a"]
    assert_nothing_is_half_open(house)


async def test_part_that_swallows_the_cancellation_of_opening_is_closed_too(house: House) -> None:
    """`asyncio.wait_for` of Python 3.11 does, when what it waits for is ready at the same moment."""

    async def swallow() -> None:
        with suppress(asyncio.CancelledError):
            await hang()

    life = lifecycle(house.part("a"), house.part("b", opening=swallow), house.part("c"))
    task = asyncio.create_task(life.open())
    await turns(10)
    task.cancel()
    with anyio.fail_after(5), pytest.raises(asyncio.CancelledError):
        await task

    assert house.of("open") == ["a", "b"]
    assert_nothing_is_half_open(house)


async def test_errors_of_a_closing_whose_caller_was_cancelled_are_the_cause(house: House) -> None:
    life = lifecycle(house.part("a", closing=fail))
    await life.open()
    task = asyncio.create_task(life.close())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task

    assert isinstance(caught.value.__cause__, ExceptionGroup)


async def test_closing_after_a_cancelled_opening_does_nothing(house: House) -> None:
    life = lifecycle(house.part("a"), house.part("b", opening=hang))
    task = asyncio.create_task(life.open())
    await turns(10)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    house.log.clear()
    await life.close()

    assert house.log == []


async def test_closing_while_it_opens_stops_the_opening_and_closes_what_is_open(house: House) -> None:
    life = lifecycle(house.part("a"), house.part("b"), house.part("c"))
    opening = asyncio.create_task(life.open())
    await turns(2)
    await life.close()
    with pytest.raises(NotOpenError, match="closed while it was opening"):
        await opening

    assert house.of("open") == ["a"]
    assert_nothing_is_half_open(house)


def test_parts_that_nobody_closed_are_closed_when_the_loop_ends() -> None:
    houses: list[House] = []

    async def main() -> None:
        houses.append(House())
        await lifecycle(houses[0].part("a"), houses[0].part("b")).open()

    asyncio.run(main())

    assert houses[0].of("closed") == ["b", "a"]


async def test_hurry_cuts_what_is_closing_and_gives_the_others_a_last_chance(house: House) -> None:
    life = lifecycle(house.part("a"), house.part("b", closing=hang), house.part("c", closing=hang), close_timeout=60)
    await life.open()
    closing = asyncio.create_task(life.close())
    await asyncio.wait_for(house.is_closing.wait(), 5)
    before = time.monotonic()
    life.hurry()
    with pytest.raises(ExceptionGroup) as caught:
        await closing

    assert [type(error) for error in caught.value.exceptions] == [CloseTimeoutError, CloseTimeoutError]
    assert house.of("closed") == ["a"]
    assert time.monotonic() - before < 2 * LAST_CHANCE_S + BUSY_S


async def test_hurry_before_closing_leaves_each_part_its_last_chance(house: House) -> None:
    life = lifecycle(house.part("a"), house.part("b", closing=hang), close_timeout=60)
    await life.open()
    life.hurry()
    before = time.monotonic()
    with pytest.raises(ExceptionGroup):
        await life.close()

    assert house.of("closed") == ["a"]
    assert time.monotonic() - before < LAST_CHANCE_S + BUSY_S


async def test_hurrying_again_does_not_prolong_the_last_chance(house: House) -> None:
    life = lifecycle(house.part("a", closing=hang), close_timeout=60)
    await life.open()
    closing = asyncio.create_task(life.close())
    await asyncio.wait_for(house.is_closing.wait(), 5)
    before = time.monotonic()
    while not closing.done() and time.monotonic() - before < 5:
        life.hurry()
        await asyncio.wait({closing}, timeout=0.05)

    assert time.monotonic() - before < LAST_CHANCE_S + BUSY_S
    assert isinstance(closing.exception(), ExceptionGroup)


async def test_hurry_while_a_part_cleans_up_after_its_timeout_is_harmless(house: House) -> None:
    is_cut, may_end = asyncio.Event(), asyncio.Event()

    async def clean_up() -> None:
        try:
            await hang()
        finally:
            is_cut.set()
            await may_end.wait()

    life = lifecycle(house.part("a", closing=clean_up), close_timeout=0)
    await life.open()
    closing = asyncio.create_task(life.close())
    await asyncio.wait_for(is_cut.wait(), 5)
    life.hurry()
    may_end.set()
    with pytest.raises(ExceptionGroup) as caught:
        await closing

    assert isinstance(caught.value.exceptions[0], CloseTimeoutError)


async def test_hurry_after_closing_is_harmless(house: House) -> None:
    life = lifecycle(house.part("a"))
    await life.open()
    await life.close()
    life.hurry()

    assert house.of("closed") == ["a"]
