"""A breaker's standing for people: with instants of the wall clock."""

from __future__ import annotations

from undercroft._core.clock import Clock, utc
from undercroft.resilience._breaker._protocol import BreakerInfo
from undercroft.resilience._breaker._standing import Standing, forced_at, probes_at, retry_after_at, state_at


def info_of(name: str, standing: Standing, now: float, clock: Clock) -> BreakerInfo:
    """Return what there is to know, but the counts. `now` is by the clock that the standing goes by."""
    ahead_s = clock.time() - now
    state, forced = state_at(standing, now), forced_at(standing, now)
    ends_at = standing.forced_until if forced else None
    return BreakerInfo(
        name=name,
        state=state,
        forced=forced,
        forced_until=None if ends_at is None else utc(ends_at + ahead_s),
        opened_at=None if standing.opened_at is None or state == "closed" else utc(standing.opened_at + ahead_s),
        changed_at=None if standing.changed_at is None else utc(standing.changed_at + ahead_s),
        retry_after=retry_after_at(standing, now),
        reason=standing.reason,
        probes=len(probes_at(standing, now)),
    )
