"""When a Node job scheduler fires next: by our reading of its options, as by Node's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.queue.interop._node import Node
from undercroft._core.errors import UndercroftError
from undercroft.queue.redis._node_schedulers import next_options

pytestmark = pytest.mark.anyio
NOW_MS = int(datetime(2026, 3, 28, 20, 0, 30, tzinfo=UTC).timestamp() * 1000)  # hours before Berlin's clocks change
PATTERNS = [
    *("* * * * *", "*/5 * * * *", "0 * * * *", "0 3 * * *", "15 1 * * *", "0 0 1 * *", "0 12 * * MON", "0 9 * * 1-5"),
    *("0 0 L * *", "0 0 * * 5L", "0 0 * * 1#2", "*/15 * * * * *", "30 0 0 * * *", "0 0 29 2 *", "0 0 13 * 5", "@daily"),
    *("0 */6 * * *", "45 23 31 12 ?", "0 0 * * 7", "0 22-23,0-1 * * *"),
]


def following(repeat: dict[str, Any], **opts: Any) -> dict[str, Any] | None:
    return next_options({"repeat": repeat, "attempts": 3, **opts}, "id", NOW_MS)


@pytest.fixture
def in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process in another time zone."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize("tz", ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"])
async def test_a_pattern_fires_when_it_would_in_node(node: Node, tz: str) -> None:
    # Times of day that the change of clocks skips or repeats are left out: cron-parser moves them on by an hour, where
    # we fire them at the change; and with a field of seconds it fires a repeated one once, where we do so twice.
    for pattern in PATTERNS:
        theirs = await node("slots", pattern=pattern, tz=tz, **{"from": NOW_MS}, count=8)
        ours: list[int] = []
        opts: dict[str, Any] = {}
        for _ in theirs:
            found = following({"pattern": pattern, "tz": tz}, **opts)
            assert found is not None
            ours.append(found["prevMillis"])
            opts = {"prevMillis": ours[-1]}
        assert ours == theirs, pattern


def test_the_next_job_has_the_options_of_the_one_before() -> None:
    found = following({"pattern": "0 0 * * *", "tz": "UTC", "count": 4, "limit": 9}, priority=2, de={"id": "x"})
    assert found is not None
    midnight = int(datetime(2026, 3, 29, tzinfo=UTC).timestamp() * 1000)
    assert found == {
        "attempts": 3,
        "priority": 2,
        "de": {"id": "x"},
        "repeat": {"pattern": "0 0 * * *", "tz": "UTC", "count": 5, "limit": 9},
        "jobId": f"repeat:id:{midnight}",
        "repeatJobKey": "id",
        "timestamp": NOW_MS,
        "prevMillis": midnight,
        "delay": midnight - NOW_MS,
    }


def test_a_schedule_is_over_at_its_limit() -> None:
    assert following({"every": 1000, "limit": 3, "count": 3}) is None
    assert following({"every": 1000, "limit": 3, "count": 2}) is not None


@pytest.mark.parametrize("end", [NOW_MS - 1, "2026-03-28T20:00:29.000Z"])
def test_a_schedule_is_over_after_its_end(end: object) -> None:
    assert following({"every": 1000, "endDate": end}) is None


def test_a_schedule_does_not_fire_before_its_start() -> None:
    start = NOW_MS + 86_400_000 * 10
    found = following({"pattern": "0 0 * * *", "tz": "UTC", "startDate": start})
    assert found is not None
    assert start < found["prevMillis"] <= start + 86_400_000


def test_the_next_slot_is_after_that_of_the_job_even_if_it_was_claimed_early() -> None:
    claimed_early = NOW_MS + 29_500 + 60_000
    found = following({"pattern": "* * * * *", "tz": "UTC"}, prevMillis=claimed_early)
    assert found is not None
    assert found["prevMillis"] > claimed_early


def test_a_pattern_without_a_zone_goes_by_the_machines_clock(in_new_york: None) -> None:
    found = following({"pattern": "0 9 * * *"})
    assert found is not None
    assert datetime.fromtimestamp(found["prevMillis"] / 1000, tz=UTC) == datetime(2026, 3, 29, 13, 0, tzinfo=UTC)


def test_the_offset_of_an_interval_is_kept() -> None:
    found = following({"every": 1000, "offset": 250})
    assert found is not None
    assert found["repeat"]["offset"] == 250


def test_a_job_without_a_repeat_option_has_no_next() -> None:
    assert next_options({}, "id", NOW_MS) is None


@pytest.mark.parametrize("repeat", [{"pattern": "61 * * * *"}, {"pattern": "* * * * *", "tz": "Mars/Base"}])
def test_what_cannot_be_read_is_an_error(repeat: dict[str, Any]) -> None:
    with pytest.raises(UndercroftError):
        following(repeat)
