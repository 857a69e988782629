"""A breaker's state, counts and belonging: all of it but the calls."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack, cast

import anyio
from msgspec.structs import replace

from undercroft._core.bound import BoundPart
from undercroft._core.clock import Clock, SystemClock
from undercroft._core.durations import Duration
from undercroft._core.errors import NotBoundError, NotOpenError, near_names
from undercroft._core.ids import IdSource
from undercroft.resilience._breaker import _standing as rules
from undercroft.resilience._breaker._info import info_of
from undercroft.resilience._breaker._keeping import Keeper, LocalKeeper, SharedKeeper, Sharing
from undercroft.resilience._breaker._options import BreakerOptions, settings_of
from undercroft.resilience._breaker._protocol import BreakerInfo, BreakerMetrics, BreakerState, StateChange
from undercroft.resilience._breaker._window import Tally
from undercroft.resilience._counts import STATES, BreakerCounts
from undercroft.resilience._errors import PolicyError
from undercroft.resilience._policy import seconds

if TYPE_CHECKING:
    from undercroft.resilience._breaker._breaker import CircuitBreaker
    from undercroft.resilience._breaker._breakers import Breakers

_MAX_NAME = 200
_bound: BoundPart[Breakers] = BoundPart("breakers")
_log = logging.getLogger("undercroft.resilience")


@dataclass(slots=True)
class Permit:
    """Leave to make one call."""

    generation: int
    turn: int
    since: float
    probe: str | None = None
    time_limit: AbstractContextManager[anyio.CancelScope] | None = None


class BreakerBase:
    """See `CircuitBreaker`."""

    def __init__(
        self,
        name: str,
        *,
        store: Breakers | None = None,
        is_local: bool = False,
        clock: Clock | None = None,
        new_id: Callable[[], str] | None = None,
        **options: Unpack[BreakerOptions],
    ) -> None:
        self.name = _checked_name(name)
        _check_known(options)
        self._settings = settings = settings_of(options)
        if store is not None and is_local:
            raise PolicyError(f"the breaker {name!r} has a store and is local", hint="give one of the two")
        self._clock = clock or SystemClock()
        self._monotonic = self._clock.monotonic
        self._new_id = new_id or IdSource(self._clock)
        self._given = store
        self._is_settled = is_local  # whether it is known what it belongs to
        self._is_alone = is_local
        self._keeper: Keeper = LocalKeeper(self._clock)
        self._look_at: float | None = None
        self._tally = Tally(settings.rules)
        # Plain ones need no more than a look at a few attributes for a call that succeeds.
        self._is_plain = not settings.rules.has_window and settings.slow_s is None and settings.call_timeout_s is None
        self._is_quick = False
        self._generation = 0
        self._key: tuple[int, bool, str | None] = (0, False, None)
        self._seen: BreakerState = "closed"
        self._counts = BreakerCounts(self.name)
        self._counts.state.set(0)
        self._succeeded = self._failed = self._ignored = self._rejected = self._slow = 0
        self._entered: dict[asyncio.Task[Any] | None, list[Permit]] = {}

    # --- What is known ----------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.name!r}, {self.state}>"

    @property
    def state(self) -> BreakerState:
        """Whether it lets calls through now, as far as is known here: `closed`, `open` or `half_open`."""
        return rules.state_at(self._keeper.standing, self._keeper.now())

    @property
    def is_shared(self) -> bool:
        """Whether its state is that of all processes that use its store."""
        return isinstance(self._keeper, SharedKeeper)

    def metrics(self) -> BreakerMetrics:
        """Return what it counted in this process."""
        window = self._tally.window
        if window is not None:
            window.move(self._monotonic())
        calls = None if window is None else window.calls
        return BreakerMetrics(
            state=self.state,
            succeeded=self._succeeded,
            failed=self._failed,
            ignored=self._ignored,
            rejected=self._rejected,
            slow=self._slow,
            failures_in_row=self._tally.in_row,
            window_calls=calls,
            failure_rate=window.failures / calls if window and calls else None,
            slow_rate=window.slow / calls if window and calls else None,
        )

    def info(self) -> BreakerInfo:
        """Return how it stands, as far as is known here."""
        info = info_of(self.name, self._keeper.standing, self._keeper.now(), self._clock)
        calls = self._succeeded + self._failed + self._ignored
        return replace(info, is_here=True, calls=calls, failures=self._failed, rejected=self._rejected)

    async def look(self) -> None:
        """Learn now what others have changed; calls do so by themselves. Nothing happens when the store is away."""
        self._join()
        await self._keeper.look()
        self._see()

    # --- Commands ---------------------------------------------------------------------------------------------------

    async def force_open(self, *, for_: Duration | None = None) -> None:
        """Refuse every call: for so long, and probe then; or until `reset`. For all processes, where it is shared.

        Raises:
            BreakersUnavailableError: The store did not take it.
        """
        await self._command(partial(rules.forced, to="open", for_s=_for_s(for_)))

    async def force_closed(self, *, for_: Duration | None = None) -> None:
        """Let every call through and count none, so that it cannot open: for so long, or until `reset`.

        Raises:
            BreakersUnavailableError: The store did not take it.
        """
        await self._command(partial(rules.forced, to="closed", for_s=_for_s(for_)))

    async def reset(self) -> None:
        """Close it and begin anew, whatever it was, also when it was forced.

        Raises:
            BreakersUnavailableError: The store did not take it.
        """
        await self._command(rules.reset)

    async def _command(self, change: rules.Change) -> None:
        self._join()
        await self._keeper.command(change)
        self._see()

    # --- Belonging --------------------------------------------------------------------------------------------------

    def attach(self, sharing: Sharing) -> None:
        """Share the state from now on; called by `Breakers`."""
        keeper = self._keeper
        self._keeper = SharedKeeper(self.name, sharing, keeper.standing, was_at=keeper.now())
        self._look_at = self._monotonic()  # the next call looks
        self._is_settled = True
        self._see()

    def detach(self) -> None:
        """Go on alone, as things stand, until there is an `Infra` again; called by `Breakers`."""
        keeper = self._keeper
        self._keeper = LocalKeeper(self._clock, keeper.standing, was_at=keeper.now())
        self._look_at = None
        self._is_settled = self._is_quick = False

    def _join(self) -> None:
        """Find out what it belongs to: the given breakers, those of the bound `Infra`, or nothing."""
        if self._is_alone or self.is_shared:
            return
        breakers = self._given or _bound_breakers()
        self._is_settled = self._given is None
        if breakers is not None and breakers.is_open:
            breakers.add(cast("CircuitBreaker", self))

    # --- Counting ---------------------------------------------------------------------------------------------------

    def _count(self, exc: BaseException | None) -> bool:
        """Count a call that has ended; tell whether it is a failure."""
        if exc is None:
            self._succeeded += 1
            self._counts.succeeded.increment()
            return False
        is_failure = isinstance(exc, Exception) and self._is_failure(exc)
        if is_failure:
            self._failed += 1
            self._counts.failed.increment()
        else:
            self._ignored += 1
            self._counts.ignored.increment()
        return is_failure

    def _is_failure(self, exc: Exception) -> bool:
        try:
            return bool(self._settings.is_failure(exc))
        except Exception:
            _log.exception("is_failure of the breaker %r raised; the call counts as failed", self.name)
            return True

    # --- Seeing what has changed ------------------------------------------------------------------------------------

    async def _look_if_due(self) -> None:
        if self._look_at is None or self._keeper.look_every_s is None:
            return
        now, every_s = self._monotonic(), self._keeper.look_every_s
        if now >= self._look_at + every_s:
            # Nothing was called for a while: what is known here is too old for anybody to go by.
            self._keeper.has_looked = self._is_quick = False
        if now >= self._look_at or not self._keeper.has_looked:
            self._look_at = now + every_s  # before the first await: one call looks, the others go on
            await self._keeper.look()

    def _see(self) -> None:
        standing = self._keeper.standing
        key = (standing.turn, standing.is_open, standing.forced)
        if key != self._key:
            self._key = key
            self._generation += 1
            self._tally.clear()
        now = self._keeper.now()
        state, is_forced = rules.state_at(standing, now), rules.forced_at(standing, now) is not None
        is_known = self._is_settled and self._keeper.has_looked
        self._is_quick = self._is_plain and is_known and state == "closed" and not is_forced
        if state != self._seen:
            before, self._seen = self._seen, state
            self._announce(before, state, standing)

    def _announce(self, before: BreakerState, after: BreakerState, standing: rules.Standing) -> None:
        reason = "it is time to probe" if after == "half_open" else standing.reason
        self._counts.state.set(STATES[after])
        self._counts.changes.increment(breaker=self.name, state=after)
        level = logging.WARNING if after == "open" else logging.INFO
        _log.log(level, "the breaker %r is %s, was %s: %s", self.name, after, before, reason)
        if self._settings.on_state_change is None:
            return
        is_forced = rules.forced_at(standing, self._keeper.now()) is not None
        try:
            self._settings.on_state_change(
                StateChange(name=self.name, before=before, after=after, reason=reason, is_forced=is_forced)
            )
        except Exception:
            _log.exception("on_state_change of the breaker %r raised", self.name)


def _bound_breakers() -> Breakers | None:
    try:
        return _bound.require()
    except (NotBoundError, NotOpenError, AttributeError):  # nothing is bound; or what is bound has no breakers
        return None


def _for_s(for_: Duration | None) -> float | None:
    return None if for_ is None else seconds(for_, name="for_", least=0.001)


def _checked_name(name: object) -> str:
    if isinstance(name, str) and 0 < len(name) <= _MAX_NAME and name.isprintable():
        return name
    raise PolicyError(f"a breaker needs a name of 1 to {_MAX_NAME} printable characters, and got {name!r:.100}")


def _check_known(options: BreakerOptions) -> None:
    known = BreakerOptions.__annotations__
    for key in options:
        if key not in known:
            raise PolicyError(
                f"a breaker has no option {key!r}",
                near=near_names(key, known),
                hint=f"known: {', '.join(sorted(known))}",
            )
