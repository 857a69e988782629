"""A sliding window that counts by sub-windows, in little room.

Time is cut into sub-windows of `window / precision`, aligned to the epoch. A call is counted in the sub-window it falls
in, and a sub-window counts in full until the last instant of it has left the window. So every window, wherever it
begins, lies within sub-windows that have at most `limit` together: never more than the limit is let through. The price:
a call counts for up to one sub-window longer than the window.

(The other counter in use weighs the oldest sub-window by how much of it is still in the window. That lets more than
the limit through whenever calls came at its end.)
"""

from __future__ import annotations

from undercroft.ratelimit._rules._base import Rule, Verdict, pairs

_Counts = list[list[int]]


class CounterRule(Rule):
    """State: `[[index, count], …]`, rising; `index` is that of a sub-window since the epoch."""

    __slots__ = ("precision", "sub_us")

    kind = "counter"

    def __init__(self, *, limit: int, window_us: int, precision: int, warn_at: int | None = None) -> None:
        self.precision = precision
        self.sub_us = -(-window_us // precision)
        super().__init__(limit=limit, window_us=window_us, part=f"c{self.sub_us}.{precision}", warn_at=warn_at)

    def fresh(self, now: int) -> _Counts:  # noqa: ARG002
        return []

    def check(self, state: _Counts, now: int, cost: int, token: str = "") -> Verdict:  # noqa: ARG002
        self.settle(state, now)
        index = now // self.sub_us
        total = sum(count for _, count in state)
        if total + cost > self.limit:
            return self._verdict(state, now, total, cost)
        if cost:
            if state and state[-1][0] == index:
                state[-1][1] += cost
            else:
                state.append([index, cost])
        return self._verdict(state, now, total + cost, 0)

    def look(self, state: _Counts, now: int, cost: int) -> Verdict:
        self.settle(state, now)
        return self._verdict(state, now, sum(count for _, count in state), cost)

    def refund(self, state: _Counts, now: int, cost: int) -> None:
        # The oldest first: whichever call it was, what is left then counts for at least as long as it should.
        self.settle(state, now)
        while cost and state:
            part = min(cost, state[0][1])
            cost -= part
            state[0][1] -= part
            if not state[0][1]:
                del state[0]

    def idle_us(self, state: _Counts, now: int) -> int:
        return max(0, self._gone_at(state[-1][0]) - now) if state else 0

    def dump(self, state: _Counts) -> str:
        return " ".join(f"{index} {count}" for index, count in state)

    def load(self, text: str) -> _Counts:
        return pairs(text)

    def lua_args(self, now: int) -> tuple[int, ...]:  # noqa: ARG002
        return self.limit, self.sub_us, self.precision

    def settle(self, state: _Counts, now: int) -> bool:
        index = now // self.sub_us
        gone = 0
        for at, _ in state:
            if at >= index - self.precision:
                break
            gone += 1
        if gone:
            del state[:gone]
        if not state or state[-1][0] <= index:
            return False
        late = sum(count for at, count in state if at >= index)
        state[:] = [[at, count] for at, count in state if at < index] + [[index, late]]
        return True

    def _gone_at(self, index: int) -> int:
        return (index + self.precision + 1) * self.sub_us

    def _verdict(self, state: _Counts, now: int, total: int, cost: int) -> Verdict:
        reset = self._gone_at(state[-1][0]) - now if state else 0
        over, retry = total + cost - self.limit, 0
        for index, count in state:
            if over <= 0:
                break
            over -= count
            retry = self._gone_at(index) - now
        return retry, max(0, self.limit - total), reset
