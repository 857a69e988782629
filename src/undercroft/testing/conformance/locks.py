"""What every store of locks promises, as tests. Subclass it in your own suite and give it a fixture:

    class TestMyStore(LockStoreConformance):
        @pytest.fixture
        def store(self, clock):
            return MyStore(clock=clock)         # not opened: the suite opens it

The store holds no lock when a test begins. `clock` is a `VirtualClock` from which the store must take its time; where a
server has its own, override `clock` with a `SystemClock` and `pass_time` with a sleep. Leases here last for fractions
of a second. Needs pytest with anyio's plugin.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from typing import TypeVar

import anyio
import pytest

from undercroft._core.clock import Clock, VirtualClock
from undercroft.resilience import (
    Granted,
    Held,
    Lease,
    LockLostError,
    LockReentryError,
    Locks,
    LockStore,
    LockTimeoutError,
    NotOwnerError,
)

T = TypeVar("T")
PassTime = Callable[[float], Awaitable[None]]
_numbers = count(1)
TTL_S = 0.4
_LATE_S = 20.0


def claim() -> str:
    """Return a claim that nobody has."""
    return f"claim{next(_numbers):021}"


async def token_of(store: LockStore, name: str, claim_: str, *, ttl_s: float = TTL_S) -> int:
    """Acquire `name`, which must be free, and return the token."""
    answer = await store.acquire(name, owner="somebody", claim=claim_, ttl_s=ttl_s)
    assert isinstance(answer, Granted), answer
    return answer.token


class LockStoreConformance:
    """The promises of `undercroft.resilience.LockStore`, and of `Locks` upon it, one test each."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def clock(self) -> Clock:
        return VirtualClock()

    @pytest.fixture
    def pass_time(self, clock: Clock) -> PassTime:
        assert isinstance(clock, VirtualClock)
        return clock.advance

    @pytest.fixture
    async def opened(self, store: LockStore) -> AsyncIterator[LockStore]:
        async with store:
            yield store

    @pytest.fixture
    async def locks(self, store: LockStore, clock: Clock) -> AsyncIterator[Locks]:
        async with Locks(store, clock=clock) as locks:
            yield locks

    # --- The store --------------------------------------------------------------------------------------------------

    async def test_store_answers(self, opened: LockStore) -> None:
        assert opened.name.isidentifier()
        await opened.ping()

    async def test_one_claim_holds_a_name(self, opened: LockStore) -> None:
        await token_of(opened, "a", claim())
        answer = await opened.acquire("a", owner="other", claim=claim(), ttl_s=TTL_S)
        assert isinstance(answer, Held)
        assert answer.owner == "somebody"
        assert 0 < answer.expires_in_s <= TTL_S + 0.001

    async def test_other_name_is_free(self, opened: LockStore) -> None:
        await token_of(opened, "a", claim())
        await token_of(opened, "b", claim())

    async def test_same_claim_gets_the_same_lease_again(self, opened: LockStore, pass_time: PassTime) -> None:
        mine = claim()
        first = await token_of(opened, "a", mine)
        await pass_time(TTL_S * 0.6)
        assert await token_of(opened, "a", mine) == first
        await pass_time(TTL_S * 0.6)  # longer than the first call's lease
        assert isinstance(await opened.acquire("a", owner="o", claim=claim(), ttl_s=TTL_S), Held)

    async def test_lease_ends(self, opened: LockStore, pass_time: PassTime) -> None:
        mine = claim()
        await token_of(opened, "a", mine)
        await pass_time(TTL_S + 0.01)
        assert not await opened.extend("a", claim=mine, ttl_s=TTL_S)
        assert not await opened.release("a", claim=mine)
        assert await opened.list_held(prefix="", limit=9) == []
        await token_of(opened, "a", claim())

    async def test_token_grows_with_every_lease(self, opened: LockStore, pass_time: PassTime) -> None:
        tokens = []
        for n in range(6):
            mine = claim()
            tokens.append(await token_of(opened, "a", mine))
            if n % 2:
                await pass_time(TTL_S + 0.01)
            else:
                assert await opened.release("a", claim=mine)
        assert tokens == sorted(set(tokens))
        assert tokens[-1] < 2**63

    async def test_token_is_at_least_the_time(self, opened: LockStore) -> None:
        """So that it grows too when a store lost its data."""
        await token_of(opened, "a", claim())
        (record,) = await opened.list_held(prefix="a", limit=1)
        assert record.token >= int(record.acquired_at * 1e6) > 1_600_000_000_000_000

    async def test_extended_lease_lasts(self, opened: LockStore, pass_time: PassTime) -> None:
        mine = claim()
        await token_of(opened, "a", mine)
        await pass_time(TTL_S * 0.6)
        assert await opened.extend("a", claim=mine, ttl_s=TTL_S)
        await pass_time(TTL_S * 0.6)
        assert isinstance(await opened.acquire("a", owner="o", claim=claim(), ttl_s=TTL_S), Held)

    async def test_lease_can_be_made_shorter(self, opened: LockStore, pass_time: PassTime) -> None:
        mine = claim()
        await token_of(opened, "a", mine, ttl_s=60)
        assert await opened.extend("a", claim=mine, ttl_s=0.1)
        await pass_time(0.11)
        await token_of(opened, "a", claim())

    async def test_only_the_holder_extends_and_releases(self, opened: LockStore) -> None:
        mine, other = claim(), claim()
        await token_of(opened, "a", mine)
        assert not await opened.extend("a", claim=other, ttl_s=60)
        assert not await opened.release("a", claim=other)
        assert not await opened.release("b", claim=mine)
        (record,) = await opened.list_held(prefix="", limit=9)
        assert record.name == "a"
        assert record.expires_in_s <= TTL_S + 0.001

    async def test_released_name_is_free(self, opened: LockStore) -> None:
        mine = claim()
        await token_of(opened, "a", mine)
        assert await opened.release("a", claim=mine)
        assert not await opened.release("a", claim=mine)
        await token_of(opened, "a", claim())

    async def test_old_holder_cannot_touch_the_new_one(self, opened: LockStore, pass_time: PassTime) -> None:
        old, new = claim(), claim()
        await token_of(opened, "a", old)
        await pass_time(TTL_S + 0.01)
        await token_of(opened, "a", new)
        assert not await opened.release("a", claim=old)
        assert not await opened.extend("a", claim=old, ttl_s=60)
        assert await opened.release("a", claim=new)

    async def test_held_names_are_listed(self, opened: LockStore) -> None:
        for name in ("shop:b", "shop:a", "shop:*", "other", "shop:[ab]", "shop-ä", "sh_p:a"):
            await token_of(opened, name, claim(), ttl_s=60)
        names = [record.name for record in await opened.list_held(prefix="shop:", limit=9)]
        assert names == ["shop:*", "shop:[ab]", "shop:a", "shop:b"]
        assert len(await opened.list_held(prefix="", limit=9)) == 7
        assert len(await opened.list_held(prefix="", limit=2)) == 2
        for special in ("shop:*", "shop:[", "shop-ä", "sh_p"):
            assert len(await opened.list_held(prefix=special, limit=9)) == 1

    async def test_owner_is_any_text(self, opened: LockStore) -> None:
        owner = "worker 7 on höst\n{x}"
        await opened.acquire("a b", owner=owner, claim=claim(), ttl_s=TTL_S)
        (record,) = await opened.list_held(prefix="a b", limit=9)
        assert (record.name, record.owner) == ("a b", owner)

    async def test_forced_release_says_whose_it_was(self, opened: LockStore) -> None:
        mine = claim()
        token = await token_of(opened, "a", mine)
        record = await opened.force_release("a")
        assert record is not None
        assert (record.name, record.owner, record.token) == ("a", "somebody", token)
        assert await opened.force_release("a") is None
        assert not await opened.extend("a", claim=mine, ttl_s=60)
        assert await token_of(opened, "a", claim()) > token

    async def test_of_many_claims_one_holds(self, opened: LockStore) -> None:
        await opened.ping()
        claims = [claim() for _ in range(50)]
        answers = await asyncio.gather(*(opened.acquire("a", owner="o", claim=c, ttl_s=60) for c in claims))
        assert sum(isinstance(answer, Granted) for answer in answers) == 1

    # --- Locks upon it ----------------------------------------------------------------------------------------------

    async def test_block_holds_the_lock(self, locks: Locks) -> None:
        async with locks.lock("a", owner="me") as lease:
            lease.require_held()
            (info,) = await locks.list()
            assert (info.name, info.owner, info.token) == ("a", "me", lease.token)
            assert await locks.lock("a").try_acquire() is None
        assert not lease.is_held
        assert await locks.list() == ()

    async def test_block_that_raises_releases(self, locks: Locks) -> None:
        with pytest.raises(KeyError):
            async with locks.lock("a"):
                raise KeyError
        assert await locks.list() == ()

    async def test_tasks_take_turns(self, locks: Locks) -> None:
        lock, inside, seen = locks.lock("a"), 0, 0

        async def work() -> None:
            nonlocal inside, seen
            async with lock:
                inside += 1
                assert inside == 1
                await anyio.lowlevel.checkpoint()
                inside -= 1
                seen += 1

        with anyio.fail_after(_LATE_S):
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(work)
        assert seen == 20

    async def test_waiting_tasks_come_in_their_order(self, locks: Locks) -> None:
        lock, order = locks.lock("a"), list[int]()

        async def work(number: int) -> None:
            async with lock:
                order.append(number)

        with anyio.fail_after(_LATE_S):
            async with anyio.create_task_group() as tasks, lock:
                for number in range(10):
                    tasks.start_soon(work, number)
                    await anyio.lowlevel.checkpoint()
                    await anyio.lowlevel.checkpoint()
        assert order == list(range(10))

    async def test_waiting_ends(self, locks: Locks) -> None:
        lease = await locks.lock("a", owner="other").acquire()
        with pytest.raises(LockTimeoutError) as caught:
            await _in_another_task(lambda: locks.lock("a", wait=0).acquire())
        assert caught.value.held_by == "other"
        assert caught.value.retry_after is not None
        assert await lease.release()

    async def test_lease_is_renewed(self, locks: Locks, pass_time: PassTime) -> None:
        async with locks.lock("a", ttl=TTL_S) as lease:
            for _ in range(4):
                await _let_renew(locks, pass_time)
            lease.require_held()

    async def test_lease_without_renewal_ends(self, locks: Locks, pass_time: PassTime) -> None:
        with pytest.raises(LockLostError):
            async with locks.lock("a", ttl=TTL_S, renew=False) as lease:
                await pass_time(TTL_S + 0.05)
        assert not lease.is_held

    async def test_forced_release_cancels_the_holder(self, locks: Locks, pass_time: PassTime) -> None:
        entered, steps = anyio.Event(), list[str]()

        async def hold() -> None:
            with pytest.raises(LockLostError) as caught:  # noqa: PT012 - it is the block's end that raises
                async with locks.lock("a", ttl=TTL_S) as lease:
                    entered.set()
                    try:
                        await anyio.sleep_forever()
                    finally:
                        steps.append("cancelled")
            assert (caught.value.lock_name, caught.value.token) == ("a", lease.token)
            steps.append("told")

        with anyio.fail_after(_LATE_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(hold)
                await entered.wait()
                info = await locks.release("a")
                assert info is not None
                assert info.name == "a"
                await _let_renew(locks, pass_time)
        assert steps == ["cancelled", "told"]

    async def test_bare_lease_says_that_it_was_lost(self, locks: Locks, pass_time: PassTime) -> None:
        lease = await locks.lock("a", ttl=TTL_S).acquire()
        await locks.release("a")
        await _let_renew(locks, pass_time)
        assert not lease.is_held
        with pytest.raises(LockLostError):
            await lease.extend()
        assert await lease.release() is False

    async def test_release_tells_whether_it_was_ours_until_then(self, locks: Locks) -> None:
        lease = await locks.lock("a").acquire()
        assert await lease.release() is True
        assert await lease.release() is True
        lease = await locks.lock("a").acquire()
        await locks.release("a")
        assert await lease.release() is False

    async def test_lease_can_be_given_to_another_task(self, locks: Locks) -> None:
        lease = await locks.lock("a").acquire()
        assert await _in_another_task(lease.release)
        assert await locks.list() == ()

    async def test_lock_releases_only_what_its_task_acquired(self, locks: Locks) -> None:
        lock = locks.lock("a")
        await lock.acquire()
        with pytest.raises(NotOwnerError):
            await _in_another_task(lock.release)
        with pytest.raises(NotOwnerError):
            await locks.lock("a").release()
        with pytest.raises(NotOwnerError):
            await _in_another_task(lock.extend)
        await lock.extend("10s")
        assert await lock.release()
        with pytest.raises(NotOwnerError):
            await lock.release()

    async def test_task_that_would_wait_for_itself_is_told(self, locks: Locks) -> None:
        async with locks.lock("a"):
            with pytest.raises(LockReentryError):
                await locks.lock("a").acquire()
            assert await locks.lock("a").try_acquire() is None
        async with locks.lock("a"):
            pass

    async def test_extended_lease_has_the_new_length(self, locks: Locks) -> None:
        async with locks.lock("a", ttl="1s") as lease:
            await lease.extend("60s")
            assert 50 < lease.expires_in_s <= 60
            (info,) = await locks.list()
            assert 50 < info.expires_in_s <= 60

    async def test_closed_locks_hold_nothing(self, store: LockStore, clock: Clock) -> None:
        async with Locks(store, clock=clock) as first:
            lease = await first.lock("a").acquire()
        assert not lease.is_held
        async with Locks(store, clock=clock) as again:
            assert await again.list() == ()

    async def test_cancelled_holder_releases_and_stays_cancelled(self, locks: Locks) -> None:
        entered = anyio.Event()

        async def hold() -> None:
            async with locks.lock("a"):
                entered.set()
                await anyio.sleep_forever()

        task = asyncio.create_task(hold())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await locks.list() == ()

    async def test_cancelled_waiter_holds_nothing(self, locks: Locks) -> None:
        lease: Lease = await locks.lock("a").acquire()
        waiter = asyncio.create_task(locks.lock("a").acquire())
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        await lease.release()
        assert await locks.list() == ()


async def _let_renew(locks: Locks, pass_time: PassTime) -> None:
    """Let more than the length of a lease pass, and what is asked meanwhile be answered: a clock that is moved would
    otherwise run ahead of it."""
    for _ in range(8):
        await pass_time(TTL_S / 6)
        await locks.ping()


async def _in_another_task(call: Callable[[], Awaitable[T]]) -> T:
    async def run() -> T:
        return await call()

    return await asyncio.create_task(run())
