"""The same calls at the same times, decided by us and by libraries that many use.

Calls are never apart by exactly a window or an interval: there libraries differ by convention, or by a rounded float.
"""

from __future__ import annotations

import limits.storage.memory
import pytest
import throttled.utils
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from throttled import RateLimiterType, Throttled, per_sec
from throttled.store import MemoryStore

from undercroft.ratelimit import Gcra, Limit, SlidingWindow

START_S = 1_772_000_000
calls = st.lists(st.tuples(st.integers(0, 600), st.integers(1, 3)), min_size=1, max_size=60)
checked = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def times(calls: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return microseconds since the start, and cost: whole milliseconds, and one microsecond more for each call."""
    now, found = 0, []
    for number, (after_ms, cost) in enumerate(calls):
        now += after_ms * 1000
        found.append((now + number, cost))
    return found


def ours(limit: Limit, calls: list[tuple[int, int]]) -> list[bool]:
    rule = limit.rule()
    state = rule.fresh(START_S * 10**6)
    return [rule.check(state, START_S * 10**6 + at, cost)[0] == 0 for at, cost in calls]


class _Time:
    now = 0.0

    def time(self) -> float:
        return self.now


@checked
@given(limit=st.integers(3, 12), calls=calls)
def test_sliding_log_decides_as_the_moving_window_of_limits(
    monkeypatch: pytest.MonkeyPatch, limit: int, calls: list[tuple[int, int]]
) -> None:
    clock, at = _Time(), times(calls)
    monkeypatch.setattr(limits.storage.memory, "time", clock)
    clock.now = float(START_S)
    limiter, item = MovingWindowRateLimiter(MemoryStorage()), RateLimitItemPerSecond(limit)
    theirs = []
    for after_us, cost in at:
        clock.now = START_S + after_us / 1e6
        theirs.append(limiter.hit(item, "key", cost=cost))
    assert ours(SlidingWindow(limit, 1), at) == theirs


@checked
@given(rate=st.sampled_from([1, 2, 4, 5, 10]), burst=st.integers(3, 12), calls=calls)
def test_gcra_decides_as_that_of_throttled(
    monkeypatch: pytest.MonkeyPatch, rate: int, burst: int, calls: list[tuple[int, int]]
) -> None:
    clock, at = _Time(), times(calls)
    monkeypatch.setattr(throttled.utils, "now_mono_f", clock.time)
    limiter = Throttled(using=RateLimiterType.GCRA.value, quota=per_sec(rate, burst=burst), store=MemoryStore())
    theirs = []
    for after_us, cost in at:
        clock.now = 1000 + after_us / 1e6
        theirs.append(not limiter.limit("key", cost).limited)
    assert ours(Gcra(f"{rate}/s", burst), at) == theirs
