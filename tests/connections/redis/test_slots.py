"""Who gets a slot, in which order, after how long; in virtual time."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from undercroft._core.clock import VirtualClock
from undercroft.connections.redis._slots import Hold, Slots, SlotsExhausted

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def slots(clock: VirtualClock) -> Slots:
    return Slots(2, wait_s=5, clock=clock)


async def test_slots_are_given_in_the_order_of_asking(slots: Slots) -> None:
    held = [await slots.take(), await slots.take()]
    order: list[int] = []

    async def ask(number: int) -> None:
        hold = await slots.take()
        order.append(number)
        slots.give_back(hold)

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(ask, number)
            await asyncio.sleep(0)
        await let_run()
        assert (slots.waiting, slots.in_use) == (5, 2)
        slots.give_back(held[0])

    assert order == [0, 1, 2, 3, 4]
    assert (slots.waiting, slots.in_use) == (0, 1)


async def test_newcomer_does_not_overtake_who_waits(slots: Slots) -> None:
    held = [await slots.take(), await slots.take()]
    order: list[str] = []

    async def ask(name: str) -> None:
        await slots.take()
        order.append(name)

    first = asyncio.create_task(ask("first"))
    await let_run()
    slots.give_back(held[0])
    second = asyncio.create_task(ask("second"))
    await let_run()
    assert order == ["first"]
    slots.give_back(held[1])
    await asyncio.gather(first, second)
    assert order == ["first", "second"]


async def test_waiting_ends_after_its_time_and_says_who_holds(slots: Slots, clock: VirtualClock) -> None:
    async def hold() -> None:
        await slots.take()
        await asyncio.Event().wait()

    holders = [asyncio.create_task(hold(), name=name) for name in ("mail", "media")]
    await let_run()
    await clock.advance(3)
    waiting = asyncio.create_task(slots.take())
    await clock.advance(4.9)
    assert not waiting.done()
    assert slots.oldest_s == pytest.approx(7.9)
    await clock.advance(0.2)

    with pytest.raises(SlotsExhausted, match=r"all 2 were in use for 5s, by mail for 8\.0s, media for 8\.0s"):
        await waiting
    assert slots.waiting == 0
    for task in holders:
        task.cancel()
    await asyncio.gather(*holders, return_exceptions=True)


async def test_slot_that_comes_together_with_the_cancellation_is_not_lost(slots: Slots) -> None:
    held = [await slots.take(), await slots.take()]
    waiting = asyncio.create_task(slots.take())
    await let_run()

    slots.give_back(held[0])  # the waiter has it, and does not know yet
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert (slots.in_use, slots.waiting) == (1, 0)


async def test_slot_that_comes_in_the_last_moment_is_taken(slots: Slots, clock: VirtualClock) -> None:
    held = [await slots.take(), await slots.take()]
    waiting = asyncio.create_task(slots.take())
    await let_run()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(clock.advance, 5)
        slots.give_back(held[0])

    assert isinstance(await waiting, Hold)
    assert slots.in_use == 2


async def test_slot_given_back_twice_counts_once(slots: Slots) -> None:
    hold = await slots.take()
    slots.give_back(hold)
    slots.give_back(hold)

    assert slots.in_use == 0
    await slots.take()
    assert slots.in_use == 1


async def test_who_waits_at_the_end_is_told(slots: Slots) -> None:
    await slots.take()
    await slots.take()
    waiting = asyncio.create_task(slots.take())
    await let_run()
    slots.refuse_waiting(ConnectionError("closed"))

    with pytest.raises(ConnectionError, match="closed"):
        await waiting
    assert slots.in_use == 2


async def let_run() -> None:
    for _ in range(5):
        await asyncio.sleep(0)
