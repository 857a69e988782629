"""The locks of one store."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Self

import anyio
import msgspec

from undercroft._core.clock import Clock, SystemClock, utc
from undercroft._core.durations import Duration, format_seconds
from undercroft._core.errors import NotOpenError
from undercroft._core.ids import IdSource
from undercroft._core.url import Url
from undercroft.logging import Logger
from undercroft.resilience._locks._calls import Answer, Calls, to_the_end
from undercroft.resilience._locks._counts import LockCounts
from undercroft.resilience._locks._errors import (
    LockDefinitionError,
    LockReentryError,
    LockTimeoutError,
    LockUnavailableError,
)
from undercroft.resilience._locks._lease import Desk, Lease
from undercroft.resilience._locks._line import Lines, Place
from undercroft.resilience._locks._lock import Lock
from undercroft.resilience._locks._names import check_duration, check_name
from undercroft.resilience._locks._protocol import Granted, Held, LockRecord, LockStore
from undercroft.resilience._locks._renewals import Renewals
from undercroft.resilience._locks._schemes import open_lock_store

_log = Logger(module="undercroft.resilience")
_ANSWERS = 0.9
"""Share of the timeout in which an acquire must be answered; the rest is for giving back what was perhaps granted."""
_CLOSE_S = 2.0
_MOST_LISTED = 10_000


class LockInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A lock that is held, as `Locks.list` saw it."""

    name: str
    owner: str
    token: int
    expires_in_s: float
    """When its lease ends, unless it is renewed or released before."""
    acquired_at: datetime
    """By the store's clock."""


class Locks:
    """The locks of one store, for one event loop. Opened by `async with`, which opens the store too.

    Renews the leases that are held through it, by one task that belongs to the open object. Closing it releases them,
    and whoever still is in a block under a lock is told that the lock is lost.
    """

    def __init__(
        self,
        store: LockStore,
        *,
        clock: Clock | None = None,
        timeout: Duration = "5s",
        ids: Callable[[], str] | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        """Take the parts; does no I/O.

        Args:
            timeout: Within which the store must answer. A call that fails is repeated, three times in all, within it.
            ids: Makes the claims by which leases are told apart: no two may be the same, anywhere.
            random: From 0 to 1, for pauses.

        Raises:
            LockDefinitionError: `timeout` is no duration above 0.
        """
        timeout_s = check_duration(timeout, "timeout")
        if timeout_s <= 0:
            raise LockDefinitionError("a timeout of 0 leaves the store no time to answer", hint="5s suits most")
        self._store = store
        self._clock = clock or SystemClock()
        self._ids = ids or IdSource(self._clock)
        self._calls = Calls(store, self._clock, timeout_s, random)
        self._counts = LockCounts(store.name)
        self._lines = Lines()
        self._renewals = Renewals(self._clock, self._calls)
        self._desk = self._new_desk()
        self._renewing: asyncio.Task[None] | None = None
        self._owner = ""

    def _new_desk(self) -> Desk:
        return Desk(
            store=self._store,
            clock=self._clock,
            calls=self._calls,
            counts=self._counts,
            lines=self._lines,
            keeper=self._renewals,
        )

    @property
    def backend(self) -> str:
        """Short name of the store: `"memory"`, `"sqlite"`, `"redis"`."""
        return self._store.name

    async def __aenter__(self) -> Self:
        if self._renewing is not None:
            raise NotOpenError("the locks are open already", hint="enter them in one place only")
        await self._store.__aenter__()
        self._renewals = Renewals(self._clock, self._calls)
        self._desk = self._new_desk()
        self._owner = f"{socket.gethostname()[:40]}-{os.urandom(6).hex()}"
        self._renewing = asyncio.create_task(self._renewals.run(), name="undercroft locks: renewals")
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        renewing, self._renewing = self._renewing, None
        if renewing is None:
            return
        try:
            await to_the_end(self._let_go(renewing))
        finally:
            await self._store.__aexit__(exc_type, exc, traceback)

    async def _let_go(self, renewing: asyncio.Task[None]) -> None:
        leases = self._renewals.leases
        renewing.cancel()
        with suppress(asyncio.CancelledError):
            await renewing
        for lease in leases:
            lease.lose("the locks of this process were closed")
        with anyio.move_on_after(_CLOSE_S):
            async with anyio.create_task_group() as tasks:
                for lease in leases:
                    tasks.start_soon(lease.give_back_quietly)

    # --- For everybody ----------------------------------------------------------------------------------------------

    def lock(
        self,
        name: str,
        *,
        ttl: Duration = "30s",
        owner: str | None = None,
        renew: bool = True,
        wait: Duration | None = None,
    ) -> Lock:
        """Return the lock of this name, kept here; see `Lock`."""
        return Lock(name, ttl=ttl, owner=owner, renew=renew, wait=wait, store=self)

    async def list(self, *, prefix: str = "", limit: int = 100) -> tuple[LockInfo, ...]:
        """Return up to `limit` locks that are held, of those whose name begins with `prefix`, by name.

        For people: on Redis it walks over all keys of the server.

        Raises:
            LockUnavailableError: The store did not answer.
        """
        if not 1 <= limit <= _MOST_LISTED:
            raise LockDefinitionError(f"a limit of {limit} is not from 1 to {_MOST_LISTED}")
        answer = await self._calls.ask(lambda: self._opened().list_held(prefix=prefix, limit=limit))
        return tuple(_info(record) for record in answer.value)

    async def release(self, name: str) -> LockInfo | None:
        """Release a lock by force, whoever holds it, and return what it was; `None` when nobody held it.

        Its holder finds out when it renews, within a third of its ttl, and may go on until then while somebody else
        begins. For a holder that is known to be gone or stuck.

        Raises:
            LockUnavailableError: The store did not answer; the lock may be released.
        """
        check_name(name)
        answer = await self._calls.ask(lambda: self._opened().force_release(name))
        self._lines.released(name)
        if answer.value is None:
            return None
        info = _info(answer.value)
        _log.warning("lock released by force", lock=name, owner=info.owner, fencing_token=info.token)
        return info

    async def ping(self) -> None:
        """Return when the store answers.

        Raises:
            LockUnavailableError: It does not.
        """
        await self._calls.ask(lambda: self._opened().ping(), attempts=1)

    # --- For locks --------------------------------------------------------------------------------------------------

    async def acquire_lease(self, name: str, *, ttl_s: float, owner: str | None, renew: bool, wait_s: float) -> Lease:
        """Wait for a lock; see `Lock.acquire`."""
        self._require_not_held(name)
        began_at = self._clock.monotonic()
        with self._lines.stand(name) as place:
            lease = await self._wait(place, name, ttl_s, owner or self._owner, renew=renew, until=began_at + wait_s)
        if lease is None:
            self._counts.timed_out.increment()
            raise _timed_out(name, wait_s, place.last_seen)
        self._counts.acquired.increment()
        self._counts.wait.observe(self._clock.monotonic() - began_at)
        return lease

    async def try_acquire_lease(self, name: str, *, ttl_s: float, owner: str | None, renew: bool) -> Lease | None:
        """Ask once; see `Lock.try_acquire`."""
        taken = await self._take(name, ttl_s, owner or self._owner, renew=renew)
        if isinstance(taken, Held):
            self._counts.refused.increment()
            self._counts.contended.increment()
            return None
        self._counts.acquired.increment()
        return taken

    async def _wait(
        self, place: Place, name: str, ttl_s: float, owner: str, *, renew: bool, until: float
    ) -> Lease | None:
        """Return a lease, or `None` when it is not to be had until then."""
        looks, has_waited = 0, False
        while True:
            if place.failure is not None:
                self._counts.unavailable.increment()
                raise LockUnavailableError(place.failure.message, hint=place.failure.hint) from place.failure
            pause = until - self._clock.monotonic()
            if place.is_first:
                try:
                    taken = await self._take(name, ttl_s, owner, renew=renew)
                except LockUnavailableError as exc:
                    place.fail(exc)
                    raise
                if isinstance(taken, Lease):
                    return taken
                place.saw(taken)
                looks += 1
                pause = min(until - self._clock.monotonic(), self._pause(taken, looks))
            if not has_waited:
                has_waited = True
                self._counts.contended.increment()
            if pause <= 0:
                return None
            await place.rest(self._clock, pause)

    def _pause(self, held: Held, looks: int) -> float:
        """Return how long the lock cannot be had, or until when to look whether a process elsewhere released it."""
        if self._store.is_local:
            return max(0.001, held.expires_in_s)
        return min(self._calls.pause(looks), max(0.001, held.expires_in_s))

    async def _take(self, name: str, ttl_s: float, owner: str, *, renew: bool) -> Lease | Held:
        """Ask the store for the lock. Whoever does not hear the answer holds nothing."""
        store, claim = self._opened(), self._ids()
        try:
            answer: Answer[Granted | Held] = await self._calls.ask(
                lambda: store.acquire(name, owner=owner, claim=claim, ttl_s=ttl_s),
                within_s=self._calls.timeout_s * _ANSWERS,
            )
        except (LockUnavailableError, asyncio.CancelledError) as exc:
            if isinstance(exc, LockUnavailableError):
                self._counts.unavailable.increment()
            await to_the_end(self._give_up(name, claim))
            raise
        if isinstance(answer.value, Held):
            return answer.value
        lease = Lease(
            self._desk,
            name=name,
            owner=owner,
            claim=claim,
            token=answer.value.token,
            ttl_s=ttl_s,
            asked_at=answer.asked_at,
            renews=renew,
        )
        if not lease.is_held:
            self._counts.unavailable.increment()
            await to_the_end(self._give_up(name, claim))
            raise LockUnavailableError(f"the store took longer to answer than the lease of lock {name!r} lasts")
        self._renewals.add(lease)
        return lease

    async def _give_up(self, name: str, claim: str) -> None:
        """Have the store forget a claim that nobody knows the fate of; else it ends by itself."""
        with suppress(LockUnavailableError):
            await self._calls.ask(
                lambda: self._store.release(name, claim=claim),
                within_s=min(1.0, self._calls.timeout_s * (1 - _ANSWERS)),
                attempts=1,
            )

    def _require_not_held(self, name: str) -> None:
        lease = self._renewals.of_name(name)
        if lease is not None and lease.is_of_this_task and lease.is_held:
            raise LockReentryError(
                f"this task holds lock {name!r} already, and would wait for itself",
                hint="pass the lease on instead of acquiring it again; locks are not re-entrant",
            )

    def _opened(self) -> LockStore:
        if self._renewing is None:
            raise NotOpenError("the locks are not open", hint="use them inside `async with`, or open their Infra")
        return self._store


def create_locks(
    url: str | Url = "memory://",
    *,
    clock: Clock | None = None,
    timeout: Duration = "5s",
    what: str = "create_locks",
) -> Locks:
    """Return the locks that `url` names, to be opened by `async with`.

        async with create_locks("redis://cache:6379/0") as locks:
            async with locks.lock("report"): ...

    Args:
        url: `memory://` for this process, `sqlite:///var/locks.db` for this machine, or one of Redis.
        timeout: Within which the store must answer.
        what: The setting the URL came from; named in errors.

    Raises:
        ConfigError: There is no store for the scheme, or an option of the URL is wrong.
        MissingExtraError: A package that the store needs is not installed.
    """
    return Locks(open_lock_store(url, what=what, clock=clock), clock=clock, timeout=timeout)


def _info(record: LockRecord) -> LockInfo:
    return LockInfo(
        name=record.name,
        owner=record.owner,
        token=record.token,
        expires_in_s=record.expires_in_s,
        acquired_at=utc(record.acquired_at),
    )


def _timed_out(name: str, wait_s: float, seen: Held | None) -> LockTimeoutError:
    by = f" by {seen.owner!r}" if seen is not None and seen.owner else ""
    return LockTimeoutError(
        f"lock {name!r} was held{by} for the {format_seconds(wait_s)} that we waited",
        held_by=seen.owner if seen is not None else None,
        retry_after=seen.expires_in_s if seen is not None else None,
    )
