"""A lock that is held."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Protocol

import anyio

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.durations import Duration, format_seconds
from undercroft.logging import Logger
from undercroft.resilience._locks._calls import Calls, to_the_end
from undercroft.resilience._locks._counts import LockCounts
from undercroft.resilience._locks._errors import LockLostError, LockUnavailableError
from undercroft.resilience._locks._line import Lines
from undercroft.resilience._locks._names import check_ttl
from undercroft.resilience._locks._protocol import LockStore

_log = Logger(module="undercroft.resilience")
_MARGIN = 0.01
"""Share of a lease that its holder does not count on: two clocks do not run at exactly the same rate."""
_LAST_CHANCE_S = 1.0
"""What giving a lease back may take when its holder was cancelled, or the store did not answer before."""


class Keeper(Protocol):
    """Renews leases."""

    def add(self, lease: Lease) -> None:
        """Keep this lease from now on."""

    def forget(self, lease: Lease) -> None:
        """Keep this lease no longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What the leases of one store share."""

    store: LockStore
    clock: Clock
    calls: Calls
    counts: LockCounts
    lines: Lines
    keeper: Keeper


class _State(Enum):
    HELD = 1
    RELEASING = 2
    RELEASED = 3
    LOST = 4


class Lease:
    """One lease of a lock, from `Lock.acquire` or `async with Lock(…)`. Held until `release`, or until it is lost.

    It is renewed by its `Locks`, unless the lock says `renew=False`; a lease that is never released is renewed until
    the `Locks` are closed. Belongs to no task: whoever has it may extend and release it.
    """

    __slots__ = (
        "__weakref__",
        "_acquired_at",
        "_claim",
        "_desk",
        "_ends_at",
        "_mutex",
        "_on_loss",
        "_state",
        "_task",
        "_ttl_s",
        "_why",
        "name",
        "owner",
        "renews",
        "token",
    )

    def __init__(
        self, desk: Desk, *, name: str, owner: str, claim: str, token: int, ttl_s: float, asked_at: float, renews: bool
    ) -> None:
        self._desk = desk
        self.name = name
        """Of the lock."""
        self.owner = owner
        """Who holds it, for people."""
        self.token = token
        """The fencing token: larger than that of every earlier lease of this name. Give it to what you write to, and
        have that refuse a smaller one than it has seen."""
        self.renews = renews
        """Whether it is renewed by itself."""
        self._claim = claim
        self._ttl_s = ttl_s
        self._ends_at = asked_at + _counted(ttl_s)
        self._acquired_at = desk.clock.monotonic()
        self._state = _State.HELD
        self._why = ""
        self._mutex = asyncio.Lock()  # of what is extended, one after the other: the last one is what the store has
        self._on_loss: Callable[[], None] | None = None
        self._task = weakref.ref(current_task())

    # --- For its holder ---------------------------------------------------------------------------------------------

    @property
    def is_held(self) -> bool:
        """Whether the lease is in force, as far as can be known without asking the store; compares the clock."""
        return self._state is _State.HELD and self._desk.clock.monotonic() < self._ends_at

    @property
    def expires_in_s(self) -> float:
        """How long it lasts from now, unless it is renewed; 0 when it is over."""
        return max(0.0, self._ends_at - self._desk.clock.monotonic()) if self._state is _State.HELD else 0.0

    def require_held(self) -> None:
        """Return when the lease is in force, as `is_held` has it. For use right before something that cannot be undone.

        Raises:
            LockLostError: It was lost, or released.
        """
        self.check()
        if self._state is not _State.HELD:
            raise self.lost_error()

    async def extend(self, ttl: Duration | None = None) -> None:
        """Let the lease last `ttl` from now, also when that is shorter, and renew it by that from now on.

        Args:
            ttl: By default what it had.

        Raises:
            LockLostError: It is over.
            LockUnavailableError: The store did not answer; the lease lasts as long as it did, or `ttl` if that is less.
        """
        ttl_s = self._ttl_s if ttl is None else check_ttl(ttl)
        async with self._mutex:
            self.require_held()
            try:
                if await self._extend(ttl_s, within_s=min(self._desk.calls.timeout_s, self.expires_in_s)):
                    self._ttl_s = ttl_s
            finally:
                if self._state is _State.HELD:
                    self._desk.keeper.add(self)  # it is due at another time now
            self.require_held()

    async def release(self) -> bool:
        """End the lease, and return whether it was in force until now. Calling it again does nothing more.

        False: it had ended before, so somebody else may have worked at the same time; nobody's lease was touched.
        Cancellation: the lease is given back first, in a second at most.

        Raises:
            LockUnavailableError: The store did not answer. Call it again, or leave it: the lease is not renewed any
                more and ends by itself.
        """
        if self._state is _State.HELD:
            self._state = _State.RELEASING  # before the first await: nobody renews it, or finds it lost, from here on
            self._close()
        if self._state is not _State.RELEASING:
            return self._state is _State.RELEASED
        try:
            with anyio.CancelScope(shield=True):
                is_ours = await self._give_back(self._desk.calls.timeout_s)
        except asyncio.CancelledError:
            await to_the_end(self.give_back_quietly())  # asked again: a release may be repeated
            raise
        if self._state is _State.RELEASING:  # else another call of this has had the answer
            self._state = _State.RELEASED if is_ours else _State.LOST
            if not is_ours:
                self._note_loss("the store had ended it before its release")
        return self._state is _State.RELEASED

    # --- For those who keep it --------------------------------------------------------------------------------------

    @property
    def is_of_this_task(self) -> bool:
        """Whether the current task acquired it."""
        return self._task() is current_task()

    @property
    def is_in_use(self) -> bool:
        """Whether it was neither released nor found lost; its time may be over."""
        return self._state is _State.HELD

    @property
    def is_lost(self) -> bool:
        """Whether it ended while it was in use."""
        return self._state is _State.LOST

    @property
    def ends_at(self) -> float:
        """Until when its holder counts on it, by the monotonic clock."""
        return self._ends_at

    @property
    def interval_s(self) -> float:
        """Between two renewals."""
        return self._ttl_s / 3

    @property
    def due_at(self) -> float:
        """When to renew it, or to find it ended."""
        return self._ends_at - _counted(self._ttl_s) + self.interval_s if self.renews else self._ends_at

    @property
    def early_s(self) -> float:
        """How much before that will do as well, so that what is due at about the same time is done together."""
        return self.interval_s / 10 if self.renews else 0.0

    async def renew(self, *, within_s: float) -> bool:
        """Extend it once by what it has; return whether the store said anything. A lease that is over is lost then.

        Raises:
            LockUnavailableError: There was no answer in time.
        """
        if self._mutex.locked():  # its holder extends it
            return False
        async with self._mutex:
            await self._extend(self._ttl_s, within_s=within_s, attempts=1)
        return True

    async def _extend(self, ttl_s: float, *, within_s: float, attempts: int = 3) -> bool:
        desk, began_at = self._desk, self._desk.clock.monotonic()
        call = partial(desk.store.extend, self.name, claim=self._claim, ttl_s=ttl_s)
        try:
            answer = await desk.calls.ask(call, within_s=within_s, attempts=attempts)
        except BaseException:  # carried out or not: what is certain is the smaller of the two
            self._ends_at = min(self._ends_at, began_at + _counted(ttl_s))
            raise
        if answer.value:
            self._ends_at = answer.asked_at + _counted(ttl_s)
        else:
            self.lose("somebody released it by force, or the store forgot it")
        return answer.value

    def watch(self, on_loss: Callable[[], None] | None) -> None:
        """Have this called when the lease is lost; replaces what was to be called."""
        self._on_loss = on_loss

    def check(self) -> float:
        """Find it lost if its time is over, and return how long it lasts otherwise."""
        if self._state is _State.HELD and self._desk.clock.monotonic() >= self._ends_at:
            self.lose("its lease ended before it could be renewed" if self.renews else "its lease ended")
        return self.expires_in_s

    @property
    def is_on_the_hosts_clock(self) -> bool:
        """Whether the event loop's timers keep the same time."""
        return isinstance(self._desk.clock, SystemClock)

    def lose(self, why: str) -> None:
        """Tell its holder that it is over."""
        if self._state is _State.HELD:
            self._state = _State.LOST
            self._close()
            self._note_loss(why)
            if self._on_loss is not None:
                self._on_loss()

    def lost_error(self) -> LockLostError:
        """Return what to raise."""
        why = self._why or "it was released"
        return LockLostError(f"the lease of lock {self.name!r} is over: {why}", lock_name=self.name, token=self.token)

    async def give_back_quietly(self) -> None:
        """Try to release it at the store, for a second at most."""
        try:
            await self._give_back(_LAST_CHANCE_S)
        except LockUnavailableError as exc:
            _log.warning(
                "lock was not released, its lease ends by itself",
                lock=self.name,
                ends_in=format_seconds(self._ttl_s),
                error_text=exc.message,
            )

    async def _give_back(self, within_s: float) -> bool:
        desk = self._desk
        answer = await desk.calls.ask(partial(desk.store.release, self.name, claim=self._claim), within_s=within_s)
        desk.lines.released(self.name)
        # An earlier request that got no answer may have been the one that released it.
        return answer.value or (answer.is_repeated and desk.clock.monotonic() < self._ends_at)

    def _close(self) -> None:
        self._desk.keeper.forget(self)
        self._desk.counts.held.observe(max(0.0, self._desk.clock.monotonic() - self._acquired_at))

    def _note_loss(self, why: str) -> None:
        self._why = why
        self._desk.counts.lost.increment()
        _log.warning("lock lost", lock=self.name, owner=self.owner, fencing_token=self.token, why=why)

    def __repr__(self) -> str:
        return f"<Lease of {self.name!r}, {self._state.name.lower()}>"


def current_task() -> asyncio.Task[Any]:
    """Return the task that runs: locks are for tasks."""
    task = asyncio.current_task()
    assert task is not None, "called outside of a task"
    return task


def _counted(ttl_s: float) -> float:
    return ttl_s * (1 - _MARGIN)
