"""A lock in the hands of its holder: what is cancelled, what is raised, what is refused."""

# ruff: noqa: PT012 - it is the end of a block that raises

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import anyio
import pytest

from undercroft._core.bound import bind
from undercroft._core.clock import VirtualClock
from undercroft._core.errors import NotBoundError, NotOpenError
from undercroft.monitoring import get_counter, get_histogram
from undercroft.resilience._locks import (
    Lease,
    Lock,
    LockDefinitionError,
    LockLostError,
    Locks,
    LockTimeoutError,
    create_locks,
    locked,
)
from undercroft.resilience._locks.memory import MemoryLocks

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def locks(clock: VirtualClock) -> AsyncIterator[Locks]:
    async with Locks(MemoryLocks(clock=clock), clock=clock) as locks:
        yield locks


async def lose(locks: Locks, clock: VirtualClock) -> None:
    """Release the lock `a` by force and let its holder renew."""
    await locks.release("a")
    await clock.advance("10s")


# --- Losing it inside a block


async def test_task_goes_on_after_the_loss_as_if_nothing_had_cancelled_it(locks: Locks, clock: VirtualClock) -> None:
    async def hold() -> int:
        try:
            async with locks.lock("a"):
                await anyio.sleep_forever()
        except LockLostError:
            await asyncio.sleep(0)
            task = asyncio.current_task()
            assert task is not None
            return task.cancelling()
        raise AssertionError

    task = asyncio.create_task(hold())
    await asyncio.sleep(0)
    await lose(locks, clock)
    assert await task == 0


async def test_block_that_swallows_the_cancellation_is_told_at_its_end(locks: Locks, clock: VirtualClock) -> None:
    async def hold() -> None:
        async with locks.lock("a"):
            with suppress(asyncio.CancelledError):
                await anyio.sleep_forever()

    task = asyncio.create_task(hold())
    await asyncio.sleep(0)
    await lose(locks, clock)
    with pytest.raises(LockLostError):
        await task


async def test_error_of_the_block_itself_is_what_comes_out(locks: Locks, clock: VirtualClock) -> None:
    async def hold() -> None:
        async with locks.lock("a"):
            try:
                await anyio.sleep_forever()
            finally:
                raise KeyError("of the block")

    task = asyncio.create_task(hold())
    await asyncio.sleep(0)
    await lose(locks, clock)
    with pytest.raises(KeyError):
        await task
    assert task.cancelling() == 0


@pytest.mark.parametrize("is_first", [True, False])
async def test_cancellation_by_somebody_else_stays_one(locks: Locks, clock: VirtualClock, is_first: bool) -> None:
    ended = list[str]()

    async def hold() -> None:
        try:
            async with locks.lock("a"):
                await anyio.sleep_forever()
        finally:
            ended.append("ended")

    task = asyncio.create_task(hold())
    await asyncio.sleep(0)
    lease = locks._renewals.of_name("a")
    assert lease is not None
    if is_first:
        task.cancel()
    lease.lose("of the test")
    if not is_first:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["ended"]


async def test_cancellation_that_comes_while_the_block_ends_is_not_lost(locks: Locks) -> None:
    """The loss asks for a cancellation that is never delivered, as the block raises first; somebody else asks too."""

    async def hold() -> None:
        async with locks.lock("a") as lease:
            asyncio.get_running_loop().call_soon(lease.lose, "of the test")
            await asyncio.sleep(0)
            raise KeyError

    task = asyncio.create_task(hold())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_timeouts_around_the_block_are_told_apart(locks: Locks, clock: VirtualClock) -> None:
    async def hold() -> str:
        try:
            async with asyncio.timeout(30), locks.lock("a"):
                await anyio.sleep_forever()
        except LockLostError:
            return "lost"
        return "ended"

    task = asyncio.create_task(hold())
    await asyncio.sleep(0)
    await lose(locks, clock)
    assert await task == "lost"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), locks.lock("a"):
            await anyio.sleep_forever()
    with anyio.move_on_after(0.01) as scope:
        async with locks.lock("a"):
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert await locks.list() == ()


async def test_task_group_inside_the_block_is_cancelled(locks: Locks, clock: VirtualClock) -> None:
    ended = list[int]()

    async def child(number: int) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(number)

    async def hold() -> None:
        async with locks.lock("a"), anyio.create_task_group() as tasks:
            tasks.start_soon(child, 1)
            tasks.start_soon(child, 2)

    task = asyncio.create_task(hold())
    await asyncio.sleep(0.01)
    await lose(locks, clock)
    with pytest.raises(LockLostError):
        await task
    assert sorted(ended) == [1, 2]


async def test_holder_that_finds_out_by_itself_is_not_cancelled_too(locks: Locks, clock: VirtualClock) -> None:
    with pytest.raises(LockLostError):
        async with locks.lock("a") as lease:
            await locks.release("a")
            with pytest.raises(LockLostError):
                await lease.extend()
            await asyncio.sleep(0)


async def test_block_in_a_blocked_loop_does_not_get_what_it_waited_for() -> None:
    """The answer and the end of the lease are found together, as after SIGCONT."""
    got = list[bytes]()
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        async with Locks(MemoryLocks()) as locks:
            loop = asyncio.get_running_loop()
            threading.Timer(0.05, right.send, [b"x"]).start()
            with pytest.raises(LockLostError):
                async with locks.lock("a", ttl="100ms") as lease:
                    loop.call_soon(time.sleep, 0.2)
                    got.append(await loop.sock_recv(left, 1))
    assert got == []
    assert not lease.is_held


async def test_is_held_tells_the_truth_in_a_blocked_loop() -> None:
    async with Locks(MemoryLocks()) as locks:
        with pytest.raises(LockLostError):
            async with locks.lock("a", ttl="100ms") as lease:
                assert lease.is_held
                time.sleep(0.12)
                assert [lease.is_held, lease.expires_in_s] == [False, 0.0]
                lease.require_held()


async def test_another_tasks_block_cannot_be_left(locks: Locks) -> None:
    lock = locks.lock("a")
    await lock.__aenter__()
    with pytest.raises(RuntimeError, match="did not enter"):
        await asyncio.create_task(lock.__aexit__(None, None, None))
    await lock.__aexit__(None, None, None)


# --- Extending


async def test_lease_that_was_made_shorter_is_renewed_by_that(locks: Locks, clock: VirtualClock) -> None:
    async with locks.lock("a", ttl="30s") as lease:
        await lease.extend("3s")
        await clock.advance("60s")
        lease.require_held()
        assert lease.expires_in_s <= 3
        await lease.extend("1h")
        assert lease.expires_in_s > 3000


async def test_lease_that_is_not_renewed_can_be_extended(locks: Locks, clock: VirtualClock) -> None:
    async with locks.lock("a", ttl="1s", renew=False) as lease:
        await clock.advance("0.9s")
        await lease.extend()
        await clock.advance("0.9s")
        lease.require_held()


@pytest.mark.parametrize("ttl", ["99ms", 0, "25h", "soon", -1, True])
async def test_ttl_that_is_not_possible_is_told(locks: Locks, ttl: Any) -> None:
    with pytest.raises(LockDefinitionError, match="ttl"):
        Lock("a", ttl=ttl)
    async with locks.lock("a") as lease:
        with pytest.raises(LockDefinitionError, match="ttl"):
            await lease.extend(ttl)


@pytest.mark.parametrize("name", ["", "x" * 201, "a{b}", "}", "a\nb", "\x00", "\ud800", 5, None])
def test_name_that_is_not_possible_is_told(name: Any) -> None:
    with pytest.raises(LockDefinitionError):
        Lock(name)


# --- Waiting


async def test_waiting_ends_by_the_locks_own_time(locks: Locks, clock: VirtualClock) -> None:
    lease = await locks.lock("a").acquire()
    waiting = asyncio.create_task(locks.lock("a", wait="7s").acquire())
    behind = asyncio.create_task(locks.lock("a", wait="5s").acquire())
    await clock.advance("4.9s")
    assert not waiting.done()
    assert not behind.done()
    await clock.advance("0.2s")
    with pytest.raises(LockTimeoutError, match="5s") as caught:
        await behind
    assert caught.value.held_by == lease.owner
    await clock.advance("2s")
    with pytest.raises(LockTimeoutError, match="7s"):
        await waiting
    assert await lease.release()


async def test_waiter_whose_predecessor_gives_up_is_next(locks: Locks, clock: VirtualClock) -> None:
    lease = await locks.lock("a").acquire()
    first = asyncio.create_task(locks.lock("a").acquire())
    second = asyncio.create_task(locks.lock("a").acquire())
    await clock.advance(0)
    first.cancel()
    await lease.release()
    await clock.advance(0)
    assert (await second).is_held


async def test_waiter_gets_what_its_holder_let_end(locks: Locks, clock: VirtualClock) -> None:
    await locks.lock("a", ttl="2s", renew=False).acquire()
    waiting = asyncio.create_task(locks.lock("a").acquire())
    await clock.advance("1.9s")
    assert not waiting.done()
    await clock.advance("0.1s")
    assert waiting.done()
    assert (await waiting).is_held


# --- Where it is kept


async def test_bound_locks_are_looked_up_when_it_is_acquired(locks: Locks) -> None:
    class Source:
        def get_part(self, name: str) -> object:
            return {"locks": locks}[name]

    lock = Lock("a")
    with pytest.raises(NotBoundError):
        await lock.acquire()
    with bind(Source()):
        async with lock:
            assert len(await locks.list()) == 1


async def test_locks_that_are_not_open_say_so() -> None:
    locks = create_locks()
    with pytest.raises(NotOpenError):
        await locks.lock("a").acquire()
    async with locks:
        with pytest.raises(NotOpenError):
            await locks.__aenter__()
        async with locks.lock("a"):
            pass


async def test_closing_cancels_who_is_inside(clock: VirtualClock) -> None:
    async def hold(locks: Locks) -> None:
        async with locks.lock("a"):
            await anyio.sleep_forever()

    async with Locks(MemoryLocks(clock=clock), clock=clock) as locks:
        task = asyncio.create_task(hold(locks))
        await asyncio.sleep(0)
    with pytest.raises(LockLostError, match="closed"):
        await task


async def test_owners_of_two_processes_differ(clock: VirtualClock) -> None:
    async with Locks(MemoryLocks(), clock=clock) as one, Locks(MemoryLocks(), clock=clock) as other:
        first, second = await one.lock("a").acquire(), await other.lock("a").acquire()
        assert first.owner != second.owner
        assert await one.lock("b", owner="me").acquire() is not None
        assert [info.owner for info in await one.list(prefix="b")] == ["me"]
        assert await first.release()
        assert await second.release()


@pytest.mark.parametrize("limit", [0, 10_001])
async def test_list_is_bounded(locks: Locks, limit: int) -> None:
    with pytest.raises(LockDefinitionError):
        await locks.list(limit=limit)


# --- As a decorator


async def test_function_runs_under_its_lock(locks: Locks) -> None:
    @locked("report", store=locks)
    async def report(copies: int) -> list[str]:
        """Write it."""
        return [info.name for info in await locks.list()] * copies

    assert await report(2) == ["report", "report"]
    assert report.__doc__ == "Write it."
    assert await locks.list() == ()


async def test_name_can_be_made_of_the_arguments(locks: Locks) -> None:
    @locked(lambda order_id, **_: f"order:{order_id}", store=locks)
    async def ship(order_id: int, *, fast: bool = False) -> list[str]:
        return [info.name for info in await locks.list()]

    assert await ship(7, fast=True) == ["order:7"]
    with pytest.raises(LockDefinitionError):
        locked("a{b}")
    with pytest.raises(LockDefinitionError):
        locked(str, ttl=0)


# --- What is told


async def test_loss_and_force_are_logged(locks: Locks, clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    lease = await locks.lock("a").acquire()
    await lose(locks, clock)
    assert not lease.is_held
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert "lock released by force" in text
    assert "lock lost" in text


async def test_work_is_counted(locks: Locks, clock: VirtualClock) -> None:
    def count(outcome: str) -> float:
        return get_counter("undercroft_lock_acquisitions_total", {"store": "memory", "outcome": outcome})

    store = {"store": "memory"}
    before = {name: count(name) for name in ("acquired", "contended", "timed_out")}
    lost, contended = (get_counter(f"undercroft_lock_{name}_total", store) for name in ("lost", "contended"))
    held = get_histogram("undercroft_lock_held_seconds", store).count
    async with locks.lock("a"):
        assert await locks.lock("a").try_acquire() is None
        with pytest.raises(LockTimeoutError):
            await asyncio.create_task(locks.lock("a", wait=0).acquire())
    await locks.lock("a").acquire()
    await lose(locks, clock)
    assert {name: count(name) - before[name] for name in before} == {"acquired": 2, "contended": 1, "timed_out": 1}
    assert get_counter("undercroft_lock_lost_total", store) - lost == 1
    assert get_counter("undercroft_lock_contended_total", store) - contended == 2
    assert get_histogram("undercroft_lock_held_seconds", store).count - held == 2


async def test_many_leases_are_renewed_together(clock: VirtualClock) -> None:
    async with Locks(MemoryLocks(clock=clock), clock=clock) as locks:
        leases: list[Lease] = []
        for number in range(200):
            leases.append(await locks.lock(f"a{number}", ttl="30s").acquire())
            await clock.advance(0.01)
        await clock.advance("2m")
        assert all(lease.is_held for lease in leases)
        assert len({lease.due_at for lease in leases}) < 50
