from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, assert_type

from undercroft.resilience import (
    Lease,
    Lock,
    LockInfo,
    LockLostError,
    Locks,
    LockStore,
    LockTimeoutError,
    create_locks,
    locked,
    open_lock_store,
)
from undercroft.resilience._locks.memory import MemoryLocks
from undercroft.resilience._locks.redis import RedisLocks
from undercroft.resilience._locks.sqlite import SqliteLocks

lock = Lock("report", ttl="30s", owner="me", renew=False, wait=timedelta(seconds=5))
Lock("report", ttl=30, store=create_locks("memory://", timeout="1s"))
Lock()  # E: call-arg
Lock("report", "30s")  # E: call-arg
Lock("report", ttl=None)  # E: arg-type
Lock(7)  # E: arg-type
Lock("report", store="memory://")  # E: arg-type


async def holding(locks: Locks) -> None:
    async with locks.lock("report") as lease:
        assert_type(lease, Lease)
        assert_type(lease.token, int)
        assert_type(lease.owner, str)
        assert_type(lease.name, str)
        assert_type(lease.is_held, bool)
        assert_type(lease.expires_in_s, float)
        await lease.extend("1m")
        await lease.extend()
        assert_type(await lease.release(), bool)
        lease.is_held = True  # E: misc
    assert_type(await lock.acquire(), Lease)
    assert_type(await lock.acquire(wait=1), Lease)
    assert_type(await lock.try_acquire(), Lease | None)
    assert_type(await lock.release(), bool)
    await lock.acquire(5)  # E: call-arg
    with lock:  # E: attr-defined
        pass


async def looking(locks: Locks) -> None:
    held = await locks.list(prefix="shop:", limit=5)
    assert_type(held, tuple[LockInfo, ...])
    assert_type(held[0].acquired_at, datetime)
    assert_type(await locks.release("report"), LockInfo | None)
    held[0].token = 5  # E: misc


@locked("report")
async def report(copies: int, *, fast: bool = False) -> str:
    return "r" * copies


@locked(lambda order_id: f"order:{order_id}", ttl="1m")
async def ship(order_id: int) -> None: ...


plain: Callable[[int], Coroutine[Any, Any, None]] = ship


async def calling() -> None:
    assert_type(await report(2), str)
    await report("2")  # E: arg-type
    await report(2, True)  # E: call-arg




@locked  # E: arg-type
async def unnamed() -> None: ...


@locked("sync")  # E: arg-type
def blocking() -> int:
    return 1


stores: list[LockStore] = [MemoryLocks(), open_lock_store("memory://")]
redis: type[LockStore] = RedisLocks
sqlite: type[LockStore] = SqliteLocks


def told(lost: LockLostError, late: LockTimeoutError) -> None:
    assert_type(lost.token, int)
    assert_type(lost.lock_name, str)
    assert_type(late.held_by, str | None)
