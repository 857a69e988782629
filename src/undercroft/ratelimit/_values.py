"""What a check answers, and what a listing of limited keys has."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

import msgspec

from undercroft._core.clock import utc

Fail = Literal["open", "closed", "local"]
"""What a check does when the store does not answer: allow, refuse, or decide by this process alone."""


class Failure(StrEnum):
    """Why a decision was made without the store."""

    TIMEOUT = "timeout"
    """It did not answer in time."""
    UNAVAILABLE = "unavailable"
    """It could not be reached, or did not take the work."""
    PAUSED = "paused"
    """It failed several times in a row a moment ago, so it was not asked."""


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What a check came to. Immutable.

    Of several limits that were decided in one step it has the numbers of the tightest: of those that refuse, the one to
    wait for longest; if none refuses, the one with the least left. `decisions` has all of them.
    """

    allowed: bool
    """Whether the call may go on. Always true in a dry run; see `refused_in_dry_run`."""
    limit: int
    """How much the limit allows: per window, or at once for a bucket."""
    remaining: int
    """How much is left after this call; never negative."""
    reset_after: float
    """Seconds until all of the limit is there again, if nothing else is used meanwhile."""
    retry_after: float
    """Seconds after which the same call would be allowed, if nothing else is used meanwhile; 0 when it is allowed.

    For slots it is when the first lease ends; a slot may be given back sooner.
    """
    policy: str
    """The name of the policy or limiter."""
    window: float
    """Seconds over which `limit` counts: the window or period; for a bucket the time in which it fills from empty."""
    cost: int = 1
    is_dry_run: bool = False
    failure: Failure | None = None
    """Set when the store did not answer, and `fail` made the decision."""
    is_unavailable: bool = False
    """Whether it was refused because the store did not answer and the policy fails closed; no limit is reached."""
    token: str | None = None
    """Of the slot that was taken, where the policy has slots; give it to `release`."""
    is_near_limit: bool = False
    """Whether a quota's `warn_at` is reached."""
    decided_at_s: float = 0.0
    """When it was decided, epoch seconds by the clock of the store."""
    limit_name: str = ""
    """Which limit of the policy the numbers are of: `60 per 1m`."""
    decisions: tuple[Decision, ...] = ()
    """One for each limit, in the policy's order, where it has several; each says whether it alone would allow."""

    @property
    def reset_at(self) -> datetime:
        """When all of the limit is there again, if nothing else is used meanwhile; aware, UTC."""
        return utc(self.decided_at_s + self.reset_after)

    @property
    def used(self) -> int:
        """How much of the limit is used, this call included when it was allowed."""
        return self.limit - self.remaining

    @property
    def refused_in_dry_run(self) -> bool:
        """Whether this call was let through only because the policy is in a dry run."""
        return self.is_dry_run and self.retry_after > 0


class LimitedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that is refused now."""

    policy: str
    key: str
    """As it was given; a hash where it was given as `secret_key(…)`, or is very long."""
    since: datetime
    """When it was refused first, after the last time it was not."""
    until: datetime
    """When the call that was refused last, or one like it, will be allowed."""
    refusals: int
    """How many calls were refused since then, as far as they were reported: a process reports now and then."""
