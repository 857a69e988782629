"""Windows that begin at fixed instants: aligned to the epoch, or periods of a calendar."""

from __future__ import annotations

from collections.abc import Callable

from undercroft.ratelimit._rules._base import Rule, Verdict

Boundaries = Callable[[int], tuple[int, ...]]
"""Four instants around one, in microseconds: it lies between the second and the third."""


class _Windows(Rule):
    """State: `[start, count]` of the window that was counted last."""

    __slots__ = ()

    def bounds(self, now: int) -> tuple[int, int]:
        """Return the first instant of the window of `now`, and the first one after it."""
        raise NotImplementedError

    def fresh(self, now: int) -> list[int]:
        return [self.bounds(now)[0], 0]

    def check(self, state: list[int], now: int, cost: int, token: str = "") -> Verdict:  # noqa: ARG002
        start, end = self.bounds(now)
        if state[0] != start:
            if state[0] < start:
                state[1] = 0
            state[0] = start
        count = state[1] + cost
        if count > self.limit:
            return end - now, max(0, self.limit - state[1]), end - now
        state[1] = count
        return 0, self.limit - count, end - now if count else 0

    def look(self, state: list[int], now: int, cost: int) -> Verdict:
        start, end = self.bounds(now)
        count = state[1] if state[0] >= start else 0
        retry = end - now if count + cost > self.limit else 0
        return retry, max(0, self.limit - count), end - now if count else 0

    def settle(self, state: list[int], now: int) -> bool:
        start = self.bounds(now)[0]
        if state[0] <= start:
            return False
        state[0] = start
        return True

    def refund(self, state: list[int], now: int, cost: int) -> None:
        start, _ = self.bounds(now)
        state[1] = max(0, state[1] - cost) if state[0] >= start else 0
        state[0] = start

    def idle_us(self, state: list[int], now: int) -> int:
        start, end = self.bounds(now)
        return end - now if state[0] >= start and state[1] else 0

    def dump(self, state: list[int]) -> str:
        return f"{state[0]} {state[1]}"

    def load(self, text: str) -> list[int]:
        start, count = text.split()
        return [int(start), int(count)]


class WindowRule(_Windows):
    """Windows of one length, aligned to the epoch."""

    __slots__ = ()

    kind = "window"

    def __init__(self, *, limit: int, window_us: int) -> None:
        super().__init__(limit=limit, window_us=window_us, part=f"w{window_us}")

    def bounds(self, now: int) -> tuple[int, int]:
        start = now - now % self.window_us
        return start, start + self.window_us

    def lua_args(self, now: int) -> tuple[int, ...]:  # noqa: ARG002
        return self.limit, self.window_us


class CalendarRule(_Windows):
    """Periods of a calendar in a time zone; `boundaries` knows them."""

    __slots__ = ("_around", "_boundaries")

    kind = "calendar"
    is_calendar = True

    def __init__(self, *, limit: int, window_us: int, part: str, warn_at: int | None, boundaries: Boundaries) -> None:
        super().__init__(limit=limit, window_us=window_us, part=part, warn_at=warn_at)
        self._boundaries = boundaries
        self._around: tuple[int, ...] = (0, 0, 0, 0)

    def bounds(self, now: int) -> tuple[int, int]:
        around = self._around
        if not around[1] <= now < around[2]:
            around = self._around = self._boundaries(now)
        return around[1], around[2]

    def lua_args(self, now: int) -> tuple[int, ...]:
        # The server's clock chooses one of three periods, so a client's clock may be off by a period.
        self.bounds(now)
        return (self.limit, *self._around)
