"""What a store is asked to decide: the limits of a policy, for one tier, in whole numbers."""

from __future__ import annotations

from collections.abc import Sequence

from undercroft.ratelimit._errors import CostTooLargeError, RateLimitDefinitionError
from undercroft.ratelimit._rules import MOST, Rule, SlotsRule
from undercroft.ratelimit._values import Fail


class Plan:
    """Immutable; made once for each tier of a policy. On the path of every check, so what that needs lies ready."""

    __slots__ = (
        "cost_most",
        "fail",
        "has_slots",
        "is_dry_run",
        "limit",
        "name",
        "names",
        "policy",
        "rules",
        "single",
        "slots",
        "spaces",
        "tier",
        "timeout_s",
        "warn_at",
        "window_s",
    )

    def __init__(
        self,
        policy: str,
        rules: Sequence[Rule],
        names: Sequence[str],
        *,
        tier: str | None = None,
        fail: Fail = "local",
        is_dry_run: bool = False,
        timeout_s: float | None = None,
    ) -> None:
        self.policy = policy
        self.rules = tuple(rules)
        self.names = tuple(names)
        self.tier = tier
        self.fail = fail
        self.is_dry_run = is_dry_run
        self.timeout_s = timeout_s
        """Of the policy; `None` is that of the `RateLimits`."""
        self.slots = next((rule for rule in self.rules if isinstance(rule, SlotsRule)), None)
        self.has_slots = self.slots is not None
        self.cost_most = min((rule.limit for rule in self.rules if not isinstance(rule, SlotsRule)), default=MOST)
        self.spaces = tuple(f"{policy} {rule.part}" for rule in self.rules)
        """Of each rule the name of the state's place, without the key."""
        first = self.rules[0]
        self.single = first if len(self.rules) == 1 else None
        self.name = self.names[0]
        self.limit, self.window_s, self.warn_at = first.limit, first.window_us / 1e6, first.warn_at
        self._require_different_parts()

    def require_cost(self, cost: int) -> None:
        """Raise unless `cost` is one that a limit could allow.

        Raises:
            RateLimitDefinitionError: It is no whole number of at least 0.
            CostTooLargeError: It is above the smallest limit.
        """
        if cost.__class__ is not int or cost < 0:
            raise RateLimitDefinitionError(
                f"a cost of {cost!r} is not a whole number of at least 0",
                hint="to give something back, call refund(key, cost)",
            )
        if cost > self.cost_most:
            raise CostTooLargeError(
                f"a call that costs {cost} can never go through {self.policy!r}, whose smallest limit is "
                f"{self.cost_most}",
                hint="raise the limit, or split the call",
            )

    def _require_different_parts(self) -> None:
        seen: dict[str, str] = {}
        for rule, name in zip(self.rules, self.names, strict=True):
            if rule.part in seen:
                raise RateLimitDefinitionError(
                    f"two limits of {self.policy!r} count the same: {seen[rule.part]!r} and {name!r}",
                    hint="keep the smaller one",
                )
            seen[rule.part] = name
