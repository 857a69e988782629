"""A lock by its name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast
from weakref import WeakKeyDictionary

from undercroft._core.bound import BoundPart
from undercroft._core.durations import Duration
from undercroft.logging import Logger
from undercroft.resilience._locks._errors import LockUnavailableError, NotOwnerError
from undercroft.resilience._locks._guard import Guard
from undercroft.resilience._locks._lease import Lease, current_task
from undercroft.resilience._locks._names import check_duration, check_name, check_ttl

if TYPE_CHECKING:
    from undercroft.resilience._locks._locks import Locks

P = ParamSpec("P")
T = TypeVar("T")
_locks: BoundPart[Locks] = BoundPart("locks")
_log = Logger(module="undercroft.resilience")
WAIT_S = 30.0


class Lock:
    """A lock that one holder has at a time, wherever its store reaches. A value: make one where you need it.

        async with Lock("report", ttl="30s") as lease:
            await write_report(fence=lease.token)

    While the block runs the lease is renewed, every third of its ttl. When it is lost all the same (the store was away
    for longer than the lease, the process was stopped, somebody released it by force), the task in the block is
    cancelled and the block raises `LockLostError`, as `asyncio.timeout` turns its own cancellation into `TimeoutError`;
    a cancellation by anybody else stays one. A lease cannot stop a holder that does not await, nor what it has sent
    already: what must never be overtaken is written with `lease.token`.

    May be used again, and by many tasks at once: each time is a lease of its own. Waiting tasks of one process come in
    their order; among processes the order is chance. Not re-entrant: a task that waits for a lock of a name that it
    holds itself would wait for ever, and gets `LockReentryError`.

    Fails closed: nobody enters, by `LockUnavailableError`, while the store is away.
    """

    def __init__(
        self,
        name: str,
        *,
        ttl: Duration = "30s",
        owner: str | None = None,
        renew: bool = True,
        wait: Duration | None = None,
        store: Locks | None = None,
    ) -> None:
        """Describe the lock; does no I/O.

        Args:
            name: Shared by everybody who uses the store: begin it with the application's. 1 to 200 characters,
                without braces.
            ttl: How long a lease lasts when its holder dies, or cannot reach the store: 100 ms to a day.
            owner: Who holds it, for people; by default the host's name and some random characters, for each process.
                Who may release is decided by a random claim that each lease has, never by this.
            renew: Without it a lease ends after `ttl` in any case.
            wait: How long to wait for somebody else to release it; 30 seconds by default.
            store: Where it is kept; by default the bound `infra.locks`, looked up when it is acquired.

        Raises:
            LockDefinitionError: One of these is not valid.
        """
        self.name = check_name(name)
        self.ttl_s = check_ttl(ttl)
        self.wait_s = WAIT_S if wait is None else check_duration(wait, "wait")
        self.owner = owner
        self.renew = renew
        self._store = store
        self._leases: WeakKeyDictionary[asyncio.Task[Any], Lease] = WeakKeyDictionary()
        self._guards: dict[asyncio.Task[Any], Guard] = {}

    async def acquire(self, *, wait: Duration | None = None) -> Lease:
        """Wait for the lock and return its lease, which is renewed until it is released.

        No task is cancelled when it is lost; `lease.is_held` says so, and `extend` and `require_held` raise.
        Cancellation: the task holds nothing; what the store may have granted is given back first, in a second at most.

        Args:
            wait: By default the lock's own.

        Raises:
            LockTimeoutError: Somebody else held it all the time.
            LockUnavailableError: The store did not answer within the timeout of its `Locks`, which is in addition to
                `wait`. Nobody holds the lock because of this call, for longer than `ttl`.
            LockReentryError: This task holds it.
            NotBoundError: No `store` was given, and no Infra is bound here.
        """
        wait_s = self.wait_s if wait is None else check_duration(wait, "wait")
        lease = await self._require_store().acquire_lease(
            self.name, ttl_s=self.ttl_s, owner=self.owner, renew=self.renew, wait_s=wait_s
        )
        self._leases[current_task()] = lease
        return lease

    async def try_acquire(self) -> Lease | None:
        """Return a lease if the lock is free, `None` if not. Asks once, and stands in no line. Raises as `acquire`."""
        lease = await self._require_store().try_acquire_lease(
            self.name, ttl_s=self.ttl_s, owner=self.owner, renew=self.renew
        )
        if lease is not None:
            self._leases[current_task()] = lease
        return lease

    async def release(self) -> bool:
        """Release what this task acquired last through this object; see `Lease.release`.

        Raises:
            NotOwnerError: That is nothing. Another task's lease is released by `lease.release()`, and whoever's it is
                by `locks.release(name)`.
        """
        lease = self._require_lease("release")
        is_ours = await lease.release()
        if self._leases.get(current_task()) is lease:
            del self._leases[current_task()]
        return is_ours

    async def extend(self, ttl: Duration | None = None) -> None:
        """Extend what this task acquired last through this object; see `Lease.extend`. Raises as `release`."""
        await self._require_lease("extend").extend(ttl)

    async def __aenter__(self) -> Lease:
        lease = await self.acquire()
        task = current_task()
        guard = self._guards[task] = Guard(lease, task)
        guard.begin()
        return lease

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        guard = self._guards.pop(current_task(), None)
        if guard is None:
            raise NotOwnerError(
                f"lock {self.name!r} is left by a task that did not enter it",
                hint="enter and leave it in one task, or use acquire() and lease.release()",
            )
        lease = guard.lease
        try:
            lease.check()
            if await guard.end(exc):
                raise lease.lost_error() from exc
        finally:
            self._leases.pop(current_task(), None)
            if lease.is_in_use:
                await self._leave(lease)
        if lease.is_lost and exc is None:
            raise lease.lost_error()

    async def _leave(self, lease: Lease) -> None:
        try:
            await lease.release()
        except LockUnavailableError as exc:
            # What the block did was done under the lock; that others wait longer than they need is no failure of it.
            _log.warning("lock was not released, its lease ends by itself", lock=self.name, error_text=exc.message)

    def _require_store(self) -> Locks:
        return self._store if self._store is not None else _locks.require()

    def _require_lease(self, wanted: str) -> Lease:
        lease = self._leases.get(current_task())
        if lease is None:
            raise NotOwnerError(
                f"this task cannot {wanted} lock {self.name!r}: it did not acquire it through this object",
                hint=f"await lease.{wanted}() on the lease; locks.release(name) releases it whoever holds it",
            )
        return lease

    def __repr__(self) -> str:
        return f"<Lock {self.name!r}>"


def locked(
    name: str | Callable[..., str],
    *,
    ttl: Duration = "30s",
    owner: str | None = None,
    wait: Duration | None = None,
    store: Locks | None = None,
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """Run an async function under a lock, as in `async with Lock(name, …)`. Keeps the function's signature.

        @locked(lambda order_id: f"shop:order:{order_id}")
        async def ship(order_id: int) -> None: ...

    Args:
        name: The lock's, or a function that makes it of the call's arguments.

    Raises:
        LockDefinitionError: As `Lock`; at the definition, but for a name that is made at the call.
    """
    fixed = Lock(name, ttl=ttl, owner=owner, wait=wait, store=store) if isinstance(name, str) else None
    if fixed is None:
        check_ttl(ttl)

    def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        @wraps(function)
        async def run(*args: P.args, **kwargs: P.kwargs) -> T:
            lock = fixed
            if lock is None:
                made = cast("Callable[..., str]", name)(*args, **kwargs)
                lock = Lock(made, ttl=ttl, owner=owner, wait=wait, store=store)
            async with lock:
                return await function(*args, **kwargs)

        return run

    return decorate
