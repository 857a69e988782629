"""Slots: how many may be at work at once. A slot is held by a token, until it is given back or its lease ends."""

from __future__ import annotations

from undercroft.ratelimit._rules._base import Rule, Verdict


class SlotsRule(Rule):
    """State: `{token: end of its lease}`. A call takes one slot, whatever it costs."""

    __slots__ = ()

    kind = "slots"

    def __init__(self, *, limit: int, lease_us: int) -> None:
        super().__init__(limit=limit, window_us=lease_us, part=f"s{lease_us}")

    def fresh(self, now: int) -> dict[str, int]:  # noqa: ARG002
        return {}

    def check(self, state: dict[str, int], now: int, cost: int, token: str = "") -> Verdict:
        self.settle(state, now)
        if cost and len(state) < self.limit:
            state[token] = now + self.window_us
            cost = 0
        return self._verdict(state, now, cost)

    def look(self, state: dict[str, int], now: int, cost: int) -> Verdict:
        self.settle(state, now)
        return self._verdict(state, now, cost)

    def refund(self, state: dict[str, int], now: int, cost: int) -> None:
        """Nothing: slots are given back by their tokens."""

    def release(self, state: dict[str, int], now: int, token: str) -> bool:
        """Give a slot back; false when its lease has ended, or it was given back already."""
        self.settle(state, now)
        return state.pop(token, None) is not None

    def extend(self, state: dict[str, int], now: int, token: str) -> bool:
        """Have a lease begin anew; false when it has ended."""
        self.settle(state, now)
        if token not in state:
            return False
        state[token] = now + self.window_us
        return True

    def idle_us(self, state: dict[str, int], now: int) -> int:
        return max(0, max(state.values()) - now) if state else 0

    def dump(self, state: dict[str, int]) -> str:
        return " ".join(f"{token} {end}" for token, end in state.items())

    def load(self, text: str) -> dict[str, int]:
        words = text.split()
        return {words[at]: int(words[at + 1]) for at in range(0, len(words), 2)}

    def lua_args(self, now: int) -> tuple[int, ...]:  # noqa: ARG002
        return self.limit, self.window_us

    def settle(self, state: dict[str, int], now: int) -> bool:
        latest, is_ahead = now + self.window_us, False
        for token, end in [*state.items()]:
            if end <= now:
                del state[token]
            elif end > latest:  # a clock that was set back
                state[token], is_ahead = latest, True
        return is_ahead

    def _verdict(self, state: dict[str, int], now: int, cost: int) -> Verdict:
        left = max(0, self.limit - len(state))
        reset = max(state.values()) - now if state else 0
        if not cost or left:
            return 0, left, reset
        # A limit that was lowered: so many of those that hold slots must end first.
        ends = sorted(state.values())
        return ends[len(ends) - self.limit] - now, left, reset
