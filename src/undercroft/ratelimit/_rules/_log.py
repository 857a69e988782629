"""A sliding window that remembers every call."""

from __future__ import annotations

from collections import deque

from undercroft.ratelimit._rules._base import Rule, Verdict, pairs


class Log:
    """Calls in the order they came: `[at, cost]`, those of one microsecond as one. `total` is the sum of the costs."""

    __slots__ = ("calls", "total")

    def __init__(self, calls: list[list[int]] | tuple[()] = ()) -> None:
        self.calls: deque[list[int]] = deque(calls)
        self.total = sum(cost for _, cost in calls)


class LogRule(Rule):
    """At most `limit` in every window, wherever it begins: exact, and as large as the limit. State: a `Log`."""

    __slots__ = ()

    kind = "log"

    def __init__(self, *, limit: int, window_us: int, warn_at: int | None = None) -> None:
        super().__init__(limit=limit, window_us=window_us, part=f"l{window_us}", warn_at=warn_at)

    def fresh(self, now: int) -> Log:  # noqa: ARG002
        return Log()

    def check(self, state: Log, now: int, cost: int, token: str = "") -> Verdict:  # noqa: ARG002
        calls = state.calls
        gone = now - self.window_us
        while calls and calls[0][0] <= gone:
            state.total -= calls.popleft()[1]
        if calls and calls[-1][0] > now:
            _set_back(calls, now)
        total = state.total + cost
        if total > self.limit:
            first = calls[0]
            if total - first[1] > self.limit:
                return self._verdict(state, now, cost)
            return first[0] - gone, max(0, self.limit - state.total), calls[-1][0] - gone
        if cost:
            if calls and calls[-1][0] == now:
                calls[-1][1] += cost
            else:
                calls.append([now, cost])
            state.total = total
        return 0, self.limit - total, calls[-1][0] - gone if calls else 0

    def look(self, state: Log, now: int, cost: int) -> Verdict:
        self.settle(state, now)
        return self._verdict(state, now, cost)

    def refund(self, state: Log, now: int, cost: int) -> None:
        # The oldest first: whichever call it was, what is left then counts for at least as long as it should.
        self.settle(state, now)
        calls = state.calls
        while cost and calls:
            part = min(cost, calls[0][1])
            cost -= part
            state.total -= part
            calls[0][1] -= part
            if not calls[0][1]:
                calls.popleft()

    def idle_us(self, state: Log, now: int) -> int:
        return max(0, state.calls[-1][0] + self.window_us - now) if state.calls else 0

    def dump(self, state: Log) -> str:
        return " ".join(f"{at} {cost}" for at, cost in state.calls)

    def load(self, text: str) -> Log:
        return Log(pairs(text))

    def lua_args(self, now: int) -> tuple[int, ...]:  # noqa: ARG002
        return self.limit, self.window_us

    def settle(self, state: Log, now: int) -> bool:
        calls, gone = state.calls, now - self.window_us
        while calls and calls[0][0] <= gone:
            state.total -= calls.popleft()[1]
        if not calls or calls[-1][0] <= now:
            return False
        _set_back(calls, now)
        return True

    def _verdict(self, state: Log, now: int, cost: int) -> Verdict:
        calls = state.calls
        over, retry = state.total + cost - self.limit, 0
        for at, part in calls:
            if over <= 0:
                break
            over -= part
            retry = at + self.window_us - now
        return retry, max(0, self.limit - state.total), calls[-1][0] + self.window_us - now if calls else 0


def _set_back(calls: deque[list[int]], now: int) -> None:
    late = 0
    while calls and calls[-1][0] >= now:
        late += calls.pop()[1]
    calls.append([now, late])
