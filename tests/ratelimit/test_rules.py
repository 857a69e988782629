"""Each kind of limit holds its promise, whatever calls come and when: against a record of what was let through."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from undercroft.ratelimit import Concurrency, FixedWindow, Gcra, LeakyBucket, Limit, Quota, SlidingWindow, TokenBucket
from undercroft.ratelimit._rules import Rule, State

START = 1_772_000_000_123_456
Passed = list[tuple[int, int]]
"""When and how much."""

calls = st.lists(
    st.tuples(st.one_of(st.just(0), st.integers(0, 300_000), st.integers(0, 5_000_000)), st.integers(1, 4)),
    min_size=1,
    max_size=60,
)
capacities = st.integers(4, 20)
windows = st.sampled_from([0.5, 1, 1.75, 3])
rates = st.tuples(st.integers(1, 30), st.sampled_from([1, 2, 7]))
precisions = st.integers(1, 8)


def play(limit: Limit, calls: list[tuple[int, int]]) -> Passed:
    """Make these calls, each so much later than the one before it, and return those that were let through.

    Of each refusal it is seen that the wait is exact, and that nothing was changed by it.
    """
    rule, now, passed = limit.rule(), START, Passed()
    state = rule.fresh(now)
    for after, cost in calls:
        now += after
        before = rule.dump(state)
        retry, remaining, _ = rule.check(state, now, cost)
        assert 0 <= remaining <= rule.limit
        if retry == 0:
            passed.append((now, cost))
        else:
            assert _is_same(rule, before, state, now)
            assert rule.check(rule.load(before), now + retry - 1, cost)[0] > 0
            assert rule.check(rule.load(before), now + retry, cost)[0] == 0
    return passed


def _is_same(rule: Rule, before: str, state: State, now: int) -> bool:
    """Tell whether two states answer the same; what has left the window may be forgotten in one of them."""
    costs = range(1, rule.limit + 1)
    return [rule.look(rule.load(before), now, cost) for cost in costs] == [
        rule.look(state, now, cost) for cost in costs
    ]


def most_in_any(passed: Passed, window_us: int) -> int:
    """Return how much was let through in the window where most was; a window has its start and not its end."""
    return max((sum(cost for at, cost in passed if start <= at < start + window_us) for start, _ in passed), default=0)


@given(limit=capacities, window=windows, calls=calls)
def test_log_never_lets_more_than_the_limit_through_any_window(
    limit: int, window: float, calls: list[tuple[int, int]]
) -> None:
    assert most_in_any(play(SlidingWindow(limit, window), calls), int(window * 1e6)) <= limit


@given(limit=capacities, window=windows, calls=calls)
def test_log_refuses_only_what_would_be_too_much(limit: int, window: float, calls: list[tuple[int, int]]) -> None:
    passed = play(SlidingWindow(limit, window), calls)
    _refused_only_when(lambda now, cost: _in_last(passed, now, window) + cost > limit, passed, calls)


@given(limit=capacities, window=windows, precision=precisions, calls=calls)
def test_counter_never_lets_more_than_the_limit_through_any_window(
    limit: int, window: float, precision: int, calls: list[tuple[int, int]]
) -> None:
    passed = play(SlidingWindow(limit, window, kind="counter", precision=precision), calls)
    assert most_in_any(passed, int(window * 1e6)) <= limit


@given(limit=capacities, window=windows, precision=precisions, calls=calls)
def test_counter_is_late_by_a_sub_window_at_most(
    limit: int, window: float, precision: int, calls: list[tuple[int, int]]
) -> None:
    passed = play(SlidingWindow(limit, window, kind="counter", precision=precision), calls)
    longer = window + 2 * window / precision  # of a call at the beginning of its sub-window, and rounding
    _refused_only_when(lambda now, cost: _in_last(passed, now, longer) + cost > limit, passed, calls)


@given(capacity=capacities, rate=rates, calls=calls)
def test_buckets_let_no_more_through_than_capacity_and_rate(
    capacity: int, rate: tuple[int, int], calls: list[tuple[int, int]]
) -> None:
    per_us = Fraction(rate[0], rate[1] * 1_000_000)
    text = f"{rate[0]} per {rate[1]}s"
    records = [
        play(limit, calls) for limit in (TokenBucket(capacity, text), Gcra(text, capacity), LeakyBucket(capacity, text))
    ]
    assert records[0] == records[1] == records[2]
    for first, (start, _) in enumerate(records[0]):
        total = 0
        for at, cost in records[0][first:]:
            total += cost
            assert total <= capacity + per_us * (at - start)


@given(capacity=capacities, rate=rates, calls=calls)
def test_bucket_agrees_with_fractions(capacity: int, rate: tuple[int, int], calls: list[tuple[int, int]]) -> None:
    per_us, tokens, last, now, expected = Fraction(rate[0], rate[1] * 10**6), Fraction(capacity), START, START, Passed()
    for after, cost in calls:
        now += after
        tokens, last = min(Fraction(capacity), tokens + per_us * (now - last)), now
        if tokens >= cost:
            tokens -= cost
            expected.append((now, cost))
    assert play(TokenBucket(capacity, f"{rate[0]} per {rate[1]}s"), calls) == expected


@given(limit=capacities, window=windows, calls=calls)
def test_fixed_window_counts_by_the_clock(limit: int, window: float, calls: list[tuple[int, int]]) -> None:
    length, counts, now, expected = int(window * 1e6), dict[int, int](), START, Passed()
    for after, cost in calls:
        now += after
        if counts.get(now // length, 0) + cost <= limit:
            counts[now // length] = counts.get(now // length, 0) + cost
            expected.append((now, cost))
    assert play(FixedWindow(limit, window), calls) == expected


@given(limit=capacities, calls=calls)
def test_rolling_quota_never_lets_more_than_the_limit_through_any_period(
    limit: int, calls: list[tuple[int, int]]
) -> None:
    longer = [(after * 2000, cost) for after, cost in calls]
    assert most_in_any(play(Quota(limit, "hour", rolling=True), longer), 3_600_000_000) <= limit


@given(
    limit=st.integers(1, 5),
    steps=st.lists(st.tuples(st.integers(0, 3_000_000), st.sampled_from(["take", "take", "release"])), max_size=40),
)
def test_slots_are_never_more_than_the_limit(limit: int, steps: list[tuple[int, str]]) -> None:
    rule = Concurrency(limit, lease=2).rule()
    now, held = START, dict[str, int]()
    state = rule.fresh(now)
    for number, (after, what) in enumerate(steps):
        now += after
        held = {token: end for token, end in held.items() if end > now}
        if what == "release" and held:
            token = next(iter(held))
            del held[token]
            assert rule.release(state, now, token)  # type: ignore[attr-defined] # slots have it
        elif what == "take":
            retry, remaining, _ = rule.check(state, now, 1, f"t{number}")
            assert (retry == 0) is (len(held) < limit)
            if retry == 0:
                held[f"t{number}"] = now + 2_000_000
            else:
                assert retry == min(held.values()) - now
            assert remaining == limit - len(held)


@given(
    kind=st.sampled_from(
        [TokenBucket(9, "3/s"), FixedWindow(9, 2), SlidingWindow(9, 2), SlidingWindow(9, 2, "counter", 4)]
    ),
    calls=calls,
)
def test_state_that_is_forgotten_in_time_changes_nothing(kind: Limit, calls: list[tuple[int, int]]) -> None:
    rule, now = kind.rule(), START
    kept, forgotten = rule.fresh(now), rule.fresh(now)
    for after, cost in calls:
        if after >= rule.idle_us(forgotten, now):
            forgotten = rule.fresh(now + after)
        now += after
        assert rule.check(kept, now, cost) == rule.check(forgotten, now, cost)


@given(
    kind=st.sampled_from([SlidingWindow(9, 2), SlidingWindow(9, 2, "counter", 4), TokenBucket(9, "3/s")]),
    steps=st.lists(st.tuples(st.integers(0, 2_000_000), st.integers(1, 3), st.booleans()), max_size=40),
)
def test_refunded_calls_leave_room_for_others_and_no_more(kind: Limit, steps: list[tuple[int, int, bool]]) -> None:
    rule, now, passed = kind.rule(), START, Passed()
    state = rule.fresh(now)
    for after, cost, is_refunded in steps:
        now += after
        if rule.check(state, now, cost)[0] == 0:
            if is_refunded:
                rule.refund(state, now, cost)
            else:
                passed.append((now, cost))
    if isinstance(kind, SlidingWindow):
        assert most_in_any(passed, 2_000_000) <= 9


def _in_last(passed: Passed, now: int, seconds: float) -> int:
    return sum(cost for at, cost in passed if now - seconds * 1e6 < at < now)


def _refused_only_when(is_too_much: Callable[[int, int], bool], passed: Passed, calls: list[tuple[int, int]]) -> None:
    left, now, here = list(passed), START, 0
    for after, cost in calls:
        now, here = now + after, 0 if after else here
        if left and left[0] == (now, cost):
            left.pop(0)
            here += cost
        else:
            assert is_too_much(now, cost + here)
