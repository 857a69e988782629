"""Where a breaker's standing is kept: in this process alone, or in a store, with a copy here that calls go by.

A shared one asks the store at most once in `look_every` while it is closed, whenever it opens, and for each probe. When
the store does not answer, the breaker goes on with its copy, as if it were alone; what happened meanwhile is settled
when the store answers again (`_merged`).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import anyio
import msgspec

from undercroft._core.clock import Clock
from undercroft._core.errors import NotOpenError
from undercroft.resilience._breaker import _standing as rules
from undercroft.resilience._breaker._protocol import BreakerStore, Stored
from undercroft.resilience._breaker._standing import Change, Standing
from undercroft.resilience._counts import StoreCounts
from undercroft.resilience._errors import BreakersUnavailableError, seconds_text

T = TypeVar("T")
_MAX_ROUNDS = 200
_AWAY_S = 5.0
"""How long a store that did not answer is not asked again by calls."""
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Standing)
_log = logging.getLogger("undercroft.resilience")


class LocalKeeper:
    """In this process alone."""

    look_every_s: float | None = None
    has_looked = True

    def __init__(self, clock: Clock, standing: Standing | None = None, *, was_at: float | None = None) -> None:
        self._clock = clock
        self._offset_s = 0.0 if was_at is None else was_at - clock.monotonic()
        self.standing = standing or Standing()

    def now(self) -> float:
        """Return the instant by the clock that the standing goes by."""
        return self._clock.monotonic() + self._offset_s

    def change_here(self, change: Change) -> bool:
        """Make a change at once; tell whether there was one to make."""
        changed = change(self.standing, self.now())
        self.standing = changed or self.standing
        return changed is not None

    async def update(self, change: Change) -> bool:
        """Make a change; tell whether there was one to make."""
        return self.change_here(change)

    async def look(self) -> None:
        """Learn what others have changed: nobody can."""

    async def share(self) -> None:
        """Tell others what was changed here: there are none."""

    async def command(self, change: Change) -> None:
        """Make a change that somebody asked for."""
        self.change_here(change)


class Sharing:
    """A store, its deadline, and whether it has answered lately. One for all breakers of a `Breakers`."""

    def __init__(self, store: BreakerStore, *, timeout_s: float, look_every_s: float, clock: Clock) -> None:
        self.store = store
        self.look_every_s = look_every_s
        self.clock = clock
        self._timeout_s = timeout_s
        self._away_until: float | None = None
        self._counts = StoreCounts()

    @property
    def is_away(self) -> bool:
        """Whether it did not answer lately, so that calls do not wait for it."""
        return self._away_until is not None and self.clock.monotonic() < self._away_until

    async def ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return what the store answers, within its deadline.

        Raises:
            BreakersUnavailableError: It does not.
        """
        try:
            answer = await self._in_time(call)
        except BreakersUnavailableError as exc:
            self._see_away(exc)
            raise
        except NotOpenError as exc:  # closed while a call was under way
            raise BreakersUnavailableError(exc.message) from exc
        if self._away_until is not None:
            self._away_until = None
            _log.info("the store of breakers (%s) answers again", self.store.name)
        return answer

    async def change(self, name: str, change: Change, *, base: Callable[[Stored], Standing]) -> tuple[Standing, float]:
        """Make a change, and return where the breaker stands after it, and the store's time.

        Args:
            base: What the change is made to, from what was found.

        Raises:
            BreakersUnavailableError: The store did not answer, or others were faster each time.
        """
        for _ in range(_MAX_ROUNDS):
            stored = await self.ask(lambda: self.store.read(name))
            before = base(stored)
            after = change(before, stored.now) or before
            data = _encoder.encode(after)
            if data == stored.data:
                return after, stored.now
            if await self.ask(lambda s=stored, d=data: self.store.swap(name, d, version=s.version)):  # type: ignore[misc]
                return after, stored.now
        raise BreakersUnavailableError(f"the breaker {name!r} was changed by others {_MAX_ROUNDS} times in a row")

    async def _in_time(self, call: Callable[[], Awaitable[T]]) -> T:
        if self.store.is_local:
            return await call()
        with self.clock.cancel_after(self._timeout_s):
            return await call()
        raise BreakersUnavailableError(
            f"the store of breakers ({self.store.name}) did not answer within {seconds_text(self._timeout_s)}"
        )

    def _see_away(self, error: BreakersUnavailableError) -> None:
        self._counts.failed(self.store.name)
        if self._away_until is None:
            _log.warning("breakers go by what this process knows until their store answers: %s", error.message)
        self._away_until = self.clock.monotonic() + _AWAY_S


class SharedKeeper:
    """In a store, with a copy here."""

    def __init__(self, name: str, sharing: Sharing, standing: Standing, *, was_at: float) -> None:
        self._name = name
        self._sharing = sharing
        self._offset_s = was_at - sharing.clock.monotonic()
        self._is_ahead = standing.is_open or standing.forced is not None
        self._turns = anyio.Lock()
        self._looking = anyio.Lock()
        self.look_every_s: float | None = sharing.look_every_s
        self.has_looked = False
        """Whether what is known here is new enough to go by, while one call looks again."""
        self.standing = standing

    def now(self) -> float:
        """Return the instant by the store's clock, as well as it is known here."""
        return self._sharing.clock.monotonic() + self._offset_s

    def change_here(self, change: Change) -> bool:
        """Make a change in the copy at once; the store learns of it by the next `update` or `look`."""
        changed = change(self.standing, self.now())
        if changed is None:
            return False
        self.standing, self._is_ahead = changed, True
        return True

    async def update(self, change: Change) -> bool:
        """Make a change in the store, or in the copy when the store is away; tell whether there was one to make."""
        if self._sharing.is_away:
            return self.change_here(change)
        made = _Made(change)
        try:
            await self._in_store(made)
        except BreakersUnavailableError:
            return self.change_here(change)
        return made.is_made

    async def look(self) -> None:
        """Learn what others have changed, and tell them what was changed here. Never raises for the store."""
        if self.has_looked:
            if not self._turns.locked():
                await self.share()
            return
        async with self._looking:  # everybody waits for the one who looks
            if not self.has_looked:
                await self.share()
                self.has_looked = True  # or the store is away

    async def share(self) -> None:
        """Tell others what was changed here, or leave it to the next `look`. Never raises for the store."""
        if self._sharing.is_away:
            return
        with suppress(BreakersUnavailableError):
            await self._in_store(_nothing)

    async def command(self, change: Change) -> None:
        """Make a change that somebody asked for.

        Raises:
            BreakersUnavailableError: The store did not take it.
        """
        await self._in_store(change)

    async def _in_store(self, change: Change) -> None:
        async with self._turns:  # one at a time: an older answer must not come after a newer one
            known = self.standing
            standing, now = await self._sharing.change(self._name, change, base=self._merged)
            if self.standing is known:
                self.standing, self._is_ahead = standing, False
                self._offset_s = now - self._sharing.clock.monotonic()
            # Else it opened here while the store was asked, which must not be forgotten: whoever opened it shares it.

    def _merged(self, stored: Stored) -> Standing:
        """What is stored, but that a breaker which opened here, and which the store has as closed, is open."""
        theirs = standing_of(stored)
        if not self._is_ahead or not self.standing.is_open:
            return theirs
        is_open = rules.opened(
            theirs, stored.now, reset_s=max(0.0, self.standing.until - self.now()), reason=self.standing.reason
        )
        return is_open or theirs


class _Made:
    """A change that remembers whether there was anything to change in what it met last."""

    def __init__(self, change: Change) -> None:
        self._change = change
        self.is_made = False

    def __call__(self, standing: Standing, now: float) -> Standing | None:
        changed = self._change(standing, now)
        self.is_made = changed is not None
        return changed


def standing_of(stored: Stored) -> Standing:
    """Read a document. What cannot be read counts as closed, and is replaced by the next change."""
    if stored.data is None:
        return Standing()
    try:
        return _decoder.decode(stored.data)
    except msgspec.MsgspecError:
        _log.warning("a breaker's stored document could not be read, and counts as closed")
        return Standing()


def _nothing(standing: Standing, now: float) -> Standing | None:  # noqa: ARG001 - a change
    return None


Keeper = LocalKeeper | SharedKeeper
