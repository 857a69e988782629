"""The virtual clock: what a whole test is driven by."""

from __future__ import annotations

from datetime import UTC, datetime

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft._core.clock import Clock, SystemClock, VirtualClock, utc

pytestmark = pytest.mark.anyio
START = 1_750_000_000.0


class Sleeper:
    """Notes when it woke, by its clock."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.woke: list[tuple[str, float]] = []

    async def sleep(self, name: str, *naps: float) -> None:
        for nap in naps:
            await self.clock.sleep(nap)
            self.woke.append((name, self.clock.time() - START))


async def test_virtual_time_stands_still_by_itself() -> None:
    clock = VirtualClock(START)
    await anyio.lowlevel.checkpoint()

    assert (clock.time(), clock.monotonic()) == (START, START)


async def test_advance_moves_wall_and_monotonic_time_alike() -> None:
    clock = VirtualClock(START)
    await clock.advance("1h30m")

    assert (clock.time(), clock.monotonic()) == (START + 5400, START + 5400)


async def test_sleepers_wake_in_the_order_of_their_deadlines() -> None:
    clock = VirtualClock(START)
    sleeper = Sleeper(clock)
    async with anyio.create_task_group() as tasks:
        for name, nap in [("c", 30), ("a", 10), ("b", 20)]:
            tasks.start_soon(sleeper.sleep, name, nap)
        await clock.advance(60)

    assert sleeper.woke == [("a", 10), ("b", 20), ("c", 30)]


async def test_sleepers_with_one_deadline_wake_in_the_order_they_slept() -> None:
    clock = VirtualClock(START)
    sleeper = Sleeper(clock)
    async with anyio.create_task_group() as tasks:
        for name in "abc":
            tasks.start_soon(sleeper.sleep, name, 10)
        await clock.advance(10)

    assert sleeper.woke == [("a", 10), ("b", 10), ("c", 10)]


async def test_chain_of_sleeps_inside_one_advance_happens_at_the_right_times() -> None:
    clock = VirtualClock(START)
    sleeper = Sleeper(clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sleeper.sleep, "a", 10, 20, 5)
        tasks.start_soon(sleeper.sleep, "b", 15, 15)
        await clock.advance(60)

    assert sleeper.woke == [("a", 10), ("b", 15), ("a", 30), ("b", 30), ("a", 35)]


async def test_sleeper_does_not_wake_before_its_deadline() -> None:
    clock = VirtualClock(START)
    sleeper = Sleeper(clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sleeper.sleep, "a", 10)
        await clock.advance(9.999)
        early = list(sleeper.woke)
        await clock.advance(0.001)

    assert (early, sleeper.woke) == ([], [("a", 10)])


@pytest.mark.parametrize("nap", [0, -5])
async def test_sleep_that_is_over_already_needs_no_advance(nap: float) -> None:
    sleeper = Sleeper(VirtualClock(START))
    await sleeper.sleep("a", nap)

    assert sleeper.woke == [("a", 0)]


async def test_cancelled_sleeper_leaves_no_timer_behind() -> None:
    clock = VirtualClock(START)
    sleeper = Sleeper(clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sleeper.sleep, "a", 10)
        await clock.advance(1)
        tasks.cancel_scope.cancel()

    assert (sleeper.woke, clock._timers) == ([], [])


async def test_block_is_cancelled_after_the_clocks_seconds() -> None:
    clock = VirtualClock(START)
    ended_at: list[float] = []

    async def block() -> None:
        with clock.cancel_after(10) as scope:
            await anyio.sleep_forever()
        ended_at.append(clock.time() - START)
        assert scope.cancelled_caught

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(block)
        await clock.advance(60)

    assert ended_at == [10]


@pytest.mark.parametrize("clock", [VirtualClock(), SystemClock()], ids=["virtual", "system"])
@pytest.mark.parametrize("seconds", [0, -1])
async def test_block_without_any_time_is_cancelled_at_its_first_wait(clock: Clock, seconds: float) -> None:
    with anyio.fail_after(5), clock.cancel_after(seconds) as scope:
        await anyio.sleep_forever()

    assert scope.cancelled_caught


@pytest.mark.parametrize("clock", [VirtualClock(), SystemClock()], ids=["virtual", "system"])
async def test_block_that_ends_in_time_is_not_cancelled(clock: Clock) -> None:
    with clock.cancel_after(10) as scope:
        await anyio.lowlevel.checkpoint()

    assert not scope.cancelled_caught


async def test_block_that_ended_is_not_cancelled_later() -> None:
    clock = VirtualClock(START)
    with clock.cancel_after(10):
        await anyio.lowlevel.checkpoint()
    await clock.advance(20)

    assert clock._timers == []


async def test_block_without_a_limit_is_never_cancelled() -> None:
    clock = VirtualClock(START)
    with clock.cancel_after(None) as scope:
        await clock.advance("52w")
        await anyio.lowlevel.checkpoint()

    assert not scope.cancelled_caught


async def test_inner_limit_ends_only_the_inner_block() -> None:
    clock = VirtualClock(START)
    ended: list[str] = []

    async def block() -> None:
        with clock.cancel_after(20):
            with clock.cancel_after(10):
                await anyio.sleep_forever()
            ended.append("inner")
            await clock.sleep(5)
            ended.append("between")
            await anyio.sleep_forever()
        ended.append("outer")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(block)
        await clock.advance(60)

    assert ended == ["inner", "between", "outer"]


async def test_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="duration"):
        await VirtualClock().advance(-1)


async def test_system_clock_sleeps() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0.01)

    assert clock.monotonic() - before >= 0.009


async def test_system_clock_cancels_a_block() -> None:
    with anyio.fail_after(5), SystemClock().cancel_after(0.01) as scope:
        await anyio.sleep_forever()

    assert scope.cancelled_caught


async def test_sleep_of_the_system_clock_ends_at_once_when_it_is_cancelled() -> None:
    with anyio.fail_after(5), anyio.CancelScope() as scope:
        scope.cancel()
        await SystemClock().sleep(3600)

    assert scope.cancelled_caught


@given(st.integers(min_value=0, max_value=4_000_000_000))
def test_instant_is_aware_utc(seconds: int) -> None:
    instant = utc(seconds)

    assert (instant.tzinfo, instant.timestamp()) == (UTC, seconds)


def test_epoch_is_1970() -> None:
    assert utc(0) == datetime(1970, 1, 1, tzinfo=UTC)
