"""Token bucket, GCRA and leaky bucket as a meter: three names of one thing.

The state is a *debt* and the instant it is of. A call adds its cost to the debt and is refused when that would exceed
the capacity; the debt shrinks at the rate, down to 0. `capacity - debt` are the tokens of a token bucket, the debt is
the level of a leaky bucket, and the instant at which it will be 0 is GCRA's theoretical arrival time (ITU-T I.371,
where the two forms are shown to be the same).

A token is `unit` units, and every microsecond pays back `per_us` of them: the rate is a fraction, kept exactly.
"""

from __future__ import annotations

from fractions import Fraction

from undercroft.ratelimit._errors import RateLimitDefinitionError
from undercroft.ratelimit._rules._base import MOST, Rule, Verdict


class BucketRule(Rule):
    """A debt that shrinks at a rate. State: `[debt, at]`, in units and microseconds since the epoch."""

    __slots__ = ("cap", "per_us", "unit")

    kind = "bucket"

    def __init__(self, *, capacity: int, rate: Fraction) -> None:
        self.unit, self.per_us = _units(capacity, rate)
        self.cap = capacity * self.unit
        super().__init__(limit=capacity, window_us=-(-self.cap // self.per_us), part=f"b{self.unit}.{self.per_us}")

    def fresh(self, now: int) -> list[int]:
        return [0, now]

    def check(self, state: list[int], now: int, cost: int, token: str = "") -> Verdict:  # noqa: ARG002
        # As `look`, with nothing called: this is the path of most checks in memory.
        debt, at = state
        if now > at:
            debt -= (now - at) * self.per_us
            if debt < 0:
                debt = 0
        wanted = debt + cost * self.unit
        if wanted > self.cap:
            if now < at:
                state[1] = now
            return -((self.cap - wanted) // self.per_us), self._left(debt), -(-debt // self.per_us)
        state[0] = wanted
        state[1] = now
        return 0, (self.cap - wanted) // self.unit, -(-wanted // self.per_us)

    def look(self, state: list[int], now: int, cost: int) -> Verdict:
        debt = self._debt(state, now)
        over = debt + cost * self.unit - self.cap
        return max(0, -(-over // self.per_us)), self._left(debt), -(-debt // self.per_us)

    def settle(self, state: list[int], now: int) -> bool:
        if now >= state[1]:
            return False
        state[1] = now
        return True

    def refund(self, state: list[int], now: int, cost: int) -> None:
        state[0], state[1] = max(0, self._debt(state, now) - cost * self.unit), now

    def idle_us(self, state: list[int], now: int) -> int:
        return -(-self._debt(state, now) // self.per_us)

    def dump(self, state: list[int]) -> str:
        return f"{state[0]} {state[1]}"

    def load(self, text: str) -> list[int]:
        debt, at = text.split()
        return [int(debt), int(at)]

    def lua_args(self, now: int) -> tuple[int, ...]:  # noqa: ARG002
        return self.cap, self.unit, self.per_us

    def _debt(self, state: list[int], now: int) -> int:
        debt, at = state
        return max(0, debt - (now - at) * self.per_us) if now > at else debt

    def _left(self, debt: int) -> int:
        return max(0, (self.cap - debt) // self.unit)  # a capacity that was lowered may be below the debt


def _units(capacity: int, rate: Fraction) -> tuple[int, int]:
    """Return units per token and per microsecond, exactly if the capacity allows it, else a little slower."""
    unit, per_us = rate.denominator, rate.numerator
    if capacity * max(unit, per_us) > MOST:
        scale = max(Fraction(unit), rate * unit) / (MOST // capacity)
        unit = int(unit // scale)
        per_us = int(rate * unit)
    if unit < 1 or per_us < 1:
        raise RateLimitDefinitionError(
            f"a capacity of {capacity} is too large for so slow a rate: it would take a century to fill",
            hint="lower the capacity, or count in larger units: megabytes for bytes",
        )
    return unit, per_us
