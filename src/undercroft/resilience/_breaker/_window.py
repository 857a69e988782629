"""What a closed breaker counts, and when that is too much. Without I/O; a clear forgets everything."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

_BUCKETS = 20
"""Of a window of time: it moves in steps of a twentieth of itself, so that it costs no memory for each call."""


class CountWindow:
    """The last calls."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._calls: deque[tuple[bool, bool]] = deque()
        self.failures = self.slow = 0

    @property
    def calls(self) -> int:
        return len(self._calls)

    def add(self, is_failure: bool, is_slow: bool, now: float) -> None:  # noqa: ARG002 - as the other one
        if len(self._calls) == self._size:
            was_failure, was_slow = self._calls.popleft()
            self.failures -= was_failure
            self.slow -= was_slow
        self._calls.append((is_failure, is_slow))
        self.failures += is_failure
        self.slow += is_slow

    def move(self, now: float) -> None:
        """Forget what is too old by now: here nothing ever is."""

    def clear(self) -> None:
        self._calls.clear()
        self.failures = self.slow = 0


class TimeWindow:
    """The calls of the last seconds, give or take a twentieth."""

    def __init__(self, seconds: float) -> None:
        self._step_s = seconds / _BUCKETS
        self._buckets: deque[list[int]] = deque()  # step, calls, failures, slow
        self.calls = self.failures = self.slow = 0

    def add(self, is_failure: bool, is_slow: bool, now: float) -> None:
        self.move(now)
        step = int(now / self._step_s)
        if not self._buckets or self._buckets[-1][0] != step:
            self._buckets.append([step, 0, 0, 0])
        last = self._buckets[-1]
        last[1] += 1
        last[2] += is_failure
        last[3] += is_slow
        self.calls += 1
        self.failures += is_failure
        self.slow += is_slow

    def move(self, now: float) -> None:
        """Forget what is too old by now."""
        oldest = int(now / self._step_s) - _BUCKETS
        while self._buckets and self._buckets[0][0] <= oldest:
            _, calls, failures, slow = self._buckets.popleft()
            self.calls -= calls
            self.failures -= failures
            self.slow -= slow

    def clear(self) -> None:
        self._buckets.clear()
        self.calls = self.failures = self.slow = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When a closed breaker opens. Without a window only `in_row` is looked at."""

    in_row: int | None
    """This many failures one after the other."""
    in_window: int | None = None
    """This many failures in the window."""
    failure_rate: float | None = None
    """This share of the calls in the window, once there are `minimum_calls`."""
    slow_rate: float | None = None
    minimum_calls: int = 1
    window_calls: int | None = None
    window_s: float | None = None

    @property
    def has_window(self) -> bool:
        return self.window_calls is not None or self.window_s is not None

    def window(self) -> CountWindow | TimeWindow | None:
        """Return an empty one."""
        if self.window_calls is not None:
            return CountWindow(self.window_calls)
        return None if self.window_s is None else TimeWindow(self.window_s)


class Tally:
    """The counts of one breaker, of calls that ended while it was closed."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.in_row = 0
        self.window = rules.window()

    def add(self, *, is_failure: bool, is_slow: bool, now: float) -> str | None:
        """Count a call; return in words why the breaker opens, if it does."""
        self.in_row = self.in_row + 1 if is_failure else 0
        if self.window is not None:
            self.window.add(is_failure, is_slow, now)
        rules = self.rules
        if rules.in_row is not None and self.in_row >= rules.in_row:
            return f"{self.in_row} failures in a row"
        return None if self.window is None else self._window_says(self.window)

    def _window_says(self, window: CountWindow | TimeWindow) -> str | None:
        rules, calls = self.rules, window.calls
        if rules.in_window is not None and window.failures >= rules.in_window:
            return f"{window.failures} failures in the window"
        if calls < rules.minimum_calls:
            return None
        if rules.failure_rate is not None and window.failures >= rules.failure_rate * calls:
            return f"{window.failures} of {calls} calls failed"
        if rules.slow_rate is not None and window.slow >= rules.slow_rate * calls:
            return f"{window.slow} of {calls} calls were slow"
        return None

    def clear(self) -> None:
        """Begin anew."""
        self.in_row = 0
        if self.window is not None:
            self.window.clear()
