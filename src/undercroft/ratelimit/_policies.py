"""Named policies: one or several limits that are decided together, by tier where there are tiers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import near_names
from undercroft.ratelimit._algorithms import Limit, SlidingWindow
from undercroft.ratelimit._errors import RateLimitDefinitionError, UnknownPolicyError
from undercroft.ratelimit._plan import Plan
from undercroft.ratelimit._values import Fail

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,63}")
_FAILS = ("open", "closed", "local")


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """One or several limits under a name. Immutable; any number of `RateLimits` may use it.

    A call goes through when all limits allow it, and is then counted by all; else by none. What is counted belongs to
    the name, the key and the window of a limit: a policy whose numbers change, or a caller who changes the tier, keeps
    what was counted where the window (for a bucket: the rate) stays the same.

    Args:
        name: Up to 64 letters, digits and `_ . : / -`. Two policies of one name count together.
        limits: For every caller, or for those without a tier.
        tiers: Limits by tier. With `limits` left out, a tier must be given with every check.
        fail: What happens when the store does not answer. `local` (the default) decides by what this process has
            counted since then, with the same limits: with n processes up to n times the limit goes through. `closed`
            refuses: for sign-in and what else must not be tried without a limit. `open` allows everything.
        dry_run: Decide and count, but refuse nothing.
        timeout: How long the store may take; by default that of the `RateLimits`.

    Raises:
        RateLimitDefinitionError: A name, a limit or a choice is not valid, or there is no limit.
    """

    name: str
    limits: Limit | Sequence[Limit] = ()
    tiers: Mapping[str, Limit | Sequence[Limit]] = field(default_factory=dict)
    fail: Fail = "local"
    dry_run: bool = False
    timeout: Duration | None = None
    _plans: Mapping[str | None, Plan] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        name: object = self.name
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise RateLimitDefinitionError(
                f"{self.name!r} is not a name of a policy", hint="up to 64 letters, digits and _ . : / -"
            )
        if self.fail not in _FAILS:
            raise RateLimitDefinitionError(
                f"fail={self.fail!r} of {self.name!r} is none of {', '.join(_FAILS)}",
                near=near_names(str(self.fail), _FAILS),
            )
        tiers: dict[str | None, tuple[Limit, ...]] = {name: _several(limits) for name, limits in self.tiers.items()}
        if default := _several(self.limits):
            tiers[None] = default
        if not tiers or not all(tiers.values()):
            raise RateLimitDefinitionError(
                f"the policy {self.name!r} has no limit", hint='RatePolicy("api", SlidingWindow(100, "1m"))'
            )
        timeout_s = None if self.timeout is None else to_seconds(self.timeout, name="timeout")
        object.__setattr__(self, "_plans", {tier: self._plan(tier, tiers[tier], timeout_s) for tier in tiers})

    @property
    def plans(self) -> Sequence[Plan]:
        """What each tier comes to."""
        return tuple(self._plans.values())

    def plan(self, tier: str | None = None) -> Plan:
        """Return what a tier comes to.

        Raises:
            UnknownPolicyError: There is no such tier, or one must be given.
        """
        try:
            return self._plans[tier]
        except KeyError:
            pass
        known = sorted(name for name in self._plans if name is not None)
        if tier is None:
            raise UnknownPolicyError(
                f"the policy {self.name!r} has limits by tier only, and no tier was given",
                name="",
                hint=f"give tier=, one of {', '.join(known)}; or give the policy limits= for those without",
            )
        raise UnknownPolicyError(
            f"the policy {self.name!r} has no tier {tier!r}",
            name=str(tier),
            near=near_names(str(tier), known),
            hint=f"its tiers: {', '.join(known) or 'none'}",
        )

    def _plan(self, tier: str | None, limits: Sequence[Limit], timeout_s: float | None) -> Plan:
        return Plan(
            self.name,
            [limit.rule() for limit in limits],
            [str(limit) for limit in limits],
            tier=tier,
            fail=self.fail,
            is_dry_run=self.dry_run,
            timeout_s=timeout_s,
        )


def _several(limits: Limit | Sequence[Limit]) -> tuple[Limit, ...]:
    several = tuple(limits) if isinstance(limits, Sequence) else (limits,)
    for limit in several:
        if not isinstance(limit, Limit):
            raise RateLimitDefinitionError(
                f"{limit!r} is not a limit", hint='give values such as SlidingWindow(100, "1m") or TokenBucket(10)'
            )
    return several


AUTH_RATE_LIMIT = RatePolicy("auth", SlidingWindow(5, "15m"), fail="closed")
"""Five tries in a quarter of an hour, for sign-in and the like; refuses when the store is away."""

API_RATE_LIMIT = RatePolicy("api", SlidingWindow(100, "1m"), fail="local")
"""A hundred calls a minute; when the store is away, each process limits by itself."""
