"""Answers with what is stored, or computes it: once, and stores it only if it is still true.

look ── fresh ──────────────→ answer (and perhaps refresh early, beside)
  ├──── stale, and may be ──→ answer, and refresh beside
  └──── else: join the one computation of this process, or begin it
          take the lease ── somebody has it: wait and look again; in the end compute without it, and store nothing
          look again (it may have been stored meanwhile), and read the versions of the tags
          compute, renewing the lease
          store, if the lease still holds: who sets or deletes meanwhile has ended it
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from undercroft._core.clock import Clock
from undercroft.cache._errors import CacheUnavailableError, ComputeCancelledError, ComputeCycleError
from undercroft.cache._flight import Flight, Flights, Landed
from undercroft.cache._leased import Leased
from undercroft.cache._look import Found, fetch, understood
from undercroft.cache._looks import Looks
from undercroft.cache._rules import Wanted
from undercroft.cache._store import Store
from undercroft.logging import Logger

_log = Logger(module="undercroft.cache")


class Computing:
    """Computes the values of one cache and its views."""

    def __init__(self, space: str, clock: Clock, *, random: Callable[[], float], token: Callable[[], str]) -> None:
        self._space = space
        self._clock = clock
        self._random = random
        self._token = token
        self._flights = Flights()
        self._looks = Looks()

    async def close(self) -> None:
        """End what is being computed."""
        await self._flights.close()

    async def answer(self, store: Store, wanted: Wanted) -> Any:
        """Return the value that is wanted. Raises what computing it raises, and never because of the store."""
        is_first = True
        while True:
            found = Found(None, "absent") if wanted.rules.is_refresh else await self._look(store, wanted)
            if found.is_fresh:
                return self._fresh(store, wanted, found)
            if found.is_stale_within(wanted.rules.stale_s):
                return self._stale(store, wanted, found)
            if is_first and not wanted.rules.is_refresh:
                wanted.counts.miss(found.reason)
            is_answer, value = await self._compute(store, wanted, found)
            if is_answer:
                return value
            is_first = False

    async def _look(self, store: Store, wanted: Wanted) -> Found:
        key, tags = wanted.key, wanted.rules.tags
        try:
            stored = await self._looks.look((store, key, tags), key, lambda: fetch(store, self._space, key, tags))
            return await understood(store, self._space, stored, wanted.codec)
        except (CacheUnavailableError, ComputeCancelledError):  # the latter when the cache is closed meanwhile
            return Found(None, "unavailable")

    def _fresh(self, store: Store, wanted: Wanted, found: Found) -> Any:
        assert found.envelope is not None
        wanted.counts.hits.add()
        if wanted.rules.early and self._is_early(found, wanted.rules.early):
            self._refresh(store, wanted, found)
        return found.envelope.data

    def _stale(self, store: Store, wanted: Wanted, found: Found) -> Any:
        assert found.envelope is not None
        wanted.counts.hits.add()
        wanted.counts.stale["refreshing"].add()
        self._refresh(store, wanted, found)
        return found.envelope.data

    def _is_early(self, found: Found, beta: float) -> bool:
        # Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015, figure 3.
        assert found.envelope is not None
        if found.envelope.fresh_for_s is None or not found.envelope.cost_s:
            return False
        gap_s = found.envelope.cost_s * beta * -math.log(1 - self._random())
        return found.past_fresh_s + gap_s >= 0

    def _refresh(self, store: Store, wanted: Wanted, found: Found) -> None:
        async def fly(flight: Flight[Landed]) -> Landed:
            try:
                return await self._leased(store, wanted, found).fly(flight)
            except Exception as exc:
                _log.warning("cached value could not be refreshed", exc, key=wanted.what)
                raise

        self._flights.refresh(_flight_key(wanted), wanted.what, fly)

    async def _compute(self, store: Store, wanted: Wanted, found: Found) -> tuple[bool, Any]:
        """Return whether there is an answer, and which: who joined late may have to look again."""
        flight, is_mine, is_late = self._flights.join(
            _flight_key(wanted), wanted.what, self._leased(store, wanted, found).fly, is_new=wanted.rules.is_refresh
        )
        try:
            landed = await flight.wait()
        except (ComputeCycleError, ComputeCancelledError):
            raise
        except Exception as exc:
            if not found.is_stale_within(wanted.rules.stale_on_error_s):
                raise
            if is_mine:
                _log.warning("cached value could not be computed: a stale one is served", exc, key=wanted.what)
            return True, self._instead(wanted, found)
        if not is_mine:
            wanted.counts.coalesced.add()
        if is_late and not landed.is_current:
            return False, None
        return True, wanted.codec.value(landed.data)

    def _instead(self, wanted: Wanted, found: Found) -> Any:
        assert found.envelope is not None
        wanted.counts.stale["error"].add()
        return found.envelope.data

    def _leased(self, store: Store, wanted: Wanted, found: Found) -> Leased:
        return Leased(store, self._space, wanted, clock=self._clock, token=self._token(), seen=found)


def _flight_key(wanted: Wanted) -> tuple[object, ...]:
    # Two types of one key are two values; so are two calls that store it differently, but only one can be stored.
    return (wanted.key, wanted.codec.identity)
