"""What this process remembers of refusals, so that a blocked caller costs the store little.

Two things: a refusal that is certain to be repeated (a refused call changes nothing, so until its wait is over the same
call would be refused again) is repeated here, for a second at most; and the store is told who is limited when that
begins, and then every few seconds, not at each refusal.
"""

from __future__ import annotations

from collections import OrderedDict

from undercroft.ratelimit._deciding import later
from undercroft.ratelimit._plan import Plan
from undercroft.ratelimit._values import Decision

_MOST = 10_000
_TELL_EVERY_S = 10.0


class _Refusal:
    __slots__ = ("at", "blocked_until", "decision", "plan", "tell_at", "until", "untold")

    def __init__(self, plan: Plan, decision: Decision) -> None:
        self.plan = plan
        self.decision = decision
        self.at = self.blocked_until = self.until = self.tell_at = 0.0
        self.untold = 0


class Refusals:
    """Of one `RateLimits`. The 10 000 last keys; times are monotonic seconds."""

    def __init__(self, *, block_s: float) -> None:
        self._block_s = block_s
        self._known: OrderedDict[tuple[str, str], _Refusal] = OrderedDict()

    def repeated(self, plan: Plan, key: str, cost: int, now: float) -> Decision | None:
        """Return the refusal that asking the store would bring, or `None` when only the store knows."""
        known = self._known.get((plan.policy, key))
        if known is None or now >= known.blocked_until or plan is not known.plan or cost < known.decision.cost:
            return None
        known.untold += 1
        return later(known.decision, now - known.at)

    def refused(self, plan: Plan, key: str, decision: Decision, *, asked_at: float) -> int:
        """Remember a refusal of the store, and return how many to tell it of now: 0 for none."""
        known = self._known.get((plan.policy, key))
        if known is None or known.until <= asked_at:
            known = self._known[plan.policy, key] = _Refusal(plan, decision)
            while len(self._known) > _MOST:
                self._known.popitem(last=False)
        self._known.move_to_end((plan.policy, key))
        known.plan, known.decision, known.at = plan, decision, asked_at
        known.until = asked_at + decision.retry_after
        # From when it was asked: the store decided later than that, so this ends early and never late.
        known.blocked_until = asked_at + min(self._block_s, 0.0 if plan.has_slots else decision.retry_after)
        known.untold += 1
        if asked_at < known.tell_at:
            return 0
        known.tell_at = asked_at + _TELL_EVERY_S
        told, known.untold = known.untold, 0
        return told

    def forget(self, policy: str, key: str) -> None:
        """Forget a key: something was given back to it."""
        self._known.pop((policy, key), None)
