"""Where a breaker stands, and every change of that. Functions without I/O: what they return is the new standing, or
`None` when nothing changes. `now` is by the clock of whatever keeps it.

Half open is not stored: it is what an open breaker is from `until` on. So nobody has to be there to make it so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec.structs import replace

from undercroft.resilience._breaker._protocol import BreakerState

Forced = Literal["open", "closed"]
Outcome = Literal["succeeded", "failed", "left"]


class Standing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A breaker's state, as it is stored: JSON. Fields may be added; instants are seconds of the store's clock."""

    turn: int = 0
    """Grows whenever it opens, closes or is forced: what began in one turn does not count in another."""
    is_open: bool = False
    opened_at: float | None = None
    until: float = 0.0
    """An open breaker probes from then on."""
    successes: int = 0
    """Probes of this turn that succeeded."""
    probes: dict[str, float] = {}
    """Ids of the probes under way, and when the slot of each is free again if nothing is heard of it."""
    forced: Forced | None = None
    forced_until: float | None = None
    changed_at: float | None = None
    reason: str = ""


Change = Callable[[Standing, float], Standing | None]


def forced_at(standing: Standing, now: float) -> Forced | None:
    """Return what it is forced to."""
    if standing.forced is not None and (standing.forced_until is None or now < standing.forced_until):
        return standing.forced
    return None


def state_at(standing: Standing, now: float) -> BreakerState:
    """Return its state."""
    forced = forced_at(standing, now)
    if forced is not None:
        return forced
    if not standing.is_open:
        return "closed"
    return "open" if now < standing.until else "half_open"


def retry_after_at(standing: Standing, now: float) -> float | None:
    """Return the seconds until it probes; `None` unless it is open, and when nobody knows."""
    if state_at(standing, now) != "open":
        return None
    until = standing.forced_until if forced_at(standing, now) else standing.until
    return None if until is None else until - now


def probes_at(standing: Standing, now: float) -> dict[str, float]:
    """Return the probes whose slots are taken."""
    return {probe: end for probe, end in standing.probes.items() if now < end}


def opened(standing: Standing, now: float, *, reset_s: float, reason: str) -> Standing | None:
    """Open a closed one."""
    if state_at(standing, now) != "closed" or forced_at(standing, now):
        return None
    return _open(standing, now, reset_s=reset_s, reason=reason)


def with_probe(standing: Standing, now: float, *, probe: str, limit: int, lease_s: float) -> Standing | None:
    """Give a slot of a half-open one to a probe."""
    if state_at(standing, now) != "half_open":
        return None
    taken = probes_at(standing, now)
    if len(taken) >= limit:
        return None
    return replace(standing, probes={**taken, probe: now + lease_s})


def after_probe(
    standing: Standing, now: float, *, probe: str, turn: int, outcome: Outcome, enough: int, reset_s: float
) -> Standing | None:
    """Take back the slot of a probe that has ended, and draw the consequence.

    One that lost its slot meanwhile, since it took longer than its lease, still has a say in its own turn.
    """
    taken = probes_at(standing, now)
    left = {other: end for other, end in taken.items() if other != probe}
    is_of_now = standing.turn == turn and state_at(standing, now) == "half_open"
    if not is_of_now or outcome == "left":
        return replace(standing, probes=left) if probe in taken else None
    standing = replace(standing, probes=left)  # those of others are under way also when it opens again
    if outcome == "failed":
        return _open(standing, now, reset_s=reset_s, reason="a probe failed")
    if standing.successes + 1 < enough:
        return replace(standing, successes=standing.successes + 1)
    return _closed(standing, now, reason="a probe succeeded" if enough == 1 else f"{enough} probes succeeded")


def forced(standing: Standing, now: float, *, to: Forced, for_s: float | None) -> Standing:
    """Force it. What was forced open probes afterwards, what was forced closed is closed."""
    until = None if for_s is None else now + for_s
    return replace(
        standing,
        turn=standing.turn + 1,
        is_open=to == "open",
        opened_at=now if to == "open" else None,
        until=now if until is None else until,
        successes=0,
        forced=to,
        forced_until=until,
        changed_at=now,
        reason="forced",
    )


def reset(standing: Standing, now: float) -> Standing:
    """Close it, whatever it was."""
    return replace(_closed(standing, now, reason="reset"), probes={})


def _open(standing: Standing, now: float, *, reset_s: float, reason: str) -> Standing:
    return replace(
        standing,
        turn=standing.turn + 1,
        is_open=True,
        opened_at=now,
        until=now + reset_s,
        successes=0,
        forced=None,
        forced_until=None,
        changed_at=now,
        reason=reason,
    )


def _closed(standing: Standing, now: float, *, reason: str) -> Standing:
    return replace(
        standing,
        turn=standing.turn + 1,
        is_open=False,
        opened_at=None,
        successes=0,
        forced=None,
        forced_until=None,
        changed_at=now,
        reason=reason,
    )
