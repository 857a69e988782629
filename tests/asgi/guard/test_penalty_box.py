"""Blocks that grow, are forgotten, and never take more memory than they may."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.asgi import GuardConfigError, PenaltyBox
from undercroft.asgi._guard._buckets import Buckets
from undercroft.testing import VirtualClock

pytestmark = pytest.mark.anyio


async def test_each_block_is_longer_up_to_a_bound(clock: VirtualClock) -> None:
    box = PenaltyBox(clock=clock, block="1m", growth=2, max_block="5m")
    lengths = []
    for _ in range(5):
        lengths.append(box.offend("a"))
        await clock.advance(lengths[-1])
        assert box.blocked_for("a") == 0
    assert lengths == [60, 120, 240, 300, 300]


async def test_a_block_ends_when_it_says(clock: VirtualClock) -> None:
    box = PenaltyBox(clock=clock, block="1m")
    box.offend("a")
    await clock.advance(59)
    assert box.blocked_for("a") == pytest.approx(1)
    await clock.advance(1)
    assert box.blocked_for("a") == 0


async def test_offences_are_forgotten_after_a_while_without(clock: VirtualClock) -> None:
    box = PenaltyBox(clock=clock, block="1m", forget_after="10m")
    box.offend("a")
    await clock.advance("10m")  # nine of them since the end of the block
    assert box.offend("a") == 120
    await clock.advance("12m")
    assert box.offend("a") == 60


async def test_a_growth_without_end_is_bounded(clock: VirtualClock) -> None:
    box = PenaltyBox(clock=clock, block="1m", growth=1e300, max_block="1h")
    assert [box.offend("a") for _ in range(4)] == [60, 3600, 3600, 3600]


async def test_blocks_by_hand_are_kept_apart_from_offences(clock: VirtualClock) -> None:
    box = PenaltyBox(clock=clock, block="1m")
    box.block("a", "1d")
    assert box.blocked_for("a") == 86400
    assert box.offend("a") == 60
    assert box.unblock("a")
    assert box.blocked_for("a") == 0
    assert not box.unblock("a")
    assert box.offend("a") == 60  # its offences are forgotten too


async def test_who_is_blocked_can_be_listed(clock: VirtualClock) -> None:
    box = PenaltyBox(clock=clock, block="1m")
    box.offend("a")
    await clock.advance(10)
    box.offend("b")
    box.block("c", 5)
    assert box.list_blocked() == {"b": 60, "a": 50, "c": 5}
    assert list(box.list_blocked(limit=1)) == ["b"]
    await clock.advance(50)
    assert list(box.list_blocked()) == ["b"]


async def test_a_block_of_another_process_never_shortens_ours(clock: VirtualClock) -> None:
    box = PenaltyBox(clock=clock, block="1m", max_block="1h")
    box.offend("a")
    box.serve("a", 5)
    assert box.blocked_for("a") == 60
    box.serve("a", 90)
    assert box.blocked_for("a") == 90
    box.serve("b", 10**9)
    assert box.blocked_for("b") == 3600


async def test_a_hundred_thousand_offenders_take_no_more_memory_than_allowed(clock: VirtualClock) -> None:
    box = PenaltyBox(clock=clock, limit=1000)
    box.block("by-hand", "1h")
    for number in range(100_000):
        box.offend(f"client {number}")
    assert len(box) == 1001
    assert box.blocked_for("client 99999") > 0
    assert box.blocked_for("by-hand") > 0


async def test_whoever_is_forgotten_makes_room(clock: VirtualClock) -> None:
    box = PenaltyBox(clock=clock, block="1s", forget_after="1s", limit=100_000)
    for number in range(1000):
        box.offend(f"client {number}")
    await clock.advance(10)
    for number in range(1000):
        box.offend(f"other {number}")
    assert len(box) == 1000


@pytest.mark.parametrize(
    "options",
    [{"block": 0}, {"block": "2h"}, {"growth": 0.5}, {"limit": 0}],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(GuardConfigError):
        PenaltyBox(clock=VirtualClock(), **options)  # type: ignore[arg-type]  # of several types


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 3)), max_size=60))
def test_a_bucket_never_lets_more_through_than_its_size_and_its_rate(steps: list[tuple[str, float]]) -> None:
    buckets, now = Buckets(3, 2.0, limit=10), 0.0
    passed: dict[str, list[float]] = {"a": [], "b": []}
    for key, pause in steps:
        now += pause
        if buckets.take(key, now) == 0:
            passed[key].append(now)
    for times in passed.values():
        for first in range(len(times)):
            for last in range(first, len(times)):
                assert last - first + 1 <= 3 + 2.0 * (times[last] - times[first]) + 1e-6


@given(st.floats(0, 5))
def test_a_bucket_says_how_long_to_wait(pause: float) -> None:
    buckets = Buckets(1, 0.5, limit=10)
    assert buckets.take("a", 0) == 0
    wait_s = buckets.take("a", pause) if pause < 2 else 0
    assert wait_s == pytest.approx(max(0, 2 - pause))
    if wait_s:
        assert buckets.take("a", pause + wait_s + 1e-9) == 0


def test_buckets_keep_the_clients_seen_last() -> None:
    buckets = Buckets(1, 0.001, limit=100)
    for number in range(10_000):
        buckets.take(f"client {number}", number * 1e-6)
        buckets.take("flood", number * 1e-6)
    assert len(buckets) == 100
    assert buckets.strikes("flood") == 9999
