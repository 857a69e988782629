"""Eight zones, twenty expressions, 400 days: every firing that must be and no other, by a walk through all minutes."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime
from functools import cache
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest

from tests.queue.cron._oracle import Wall, firings, walk
from undercroft.queue._cron._expression import parse_expression
from undercroft.queue._cron._slots import FieldSlots, field_slots

DAYS = 400
ZONES = {
    "UTC": datetime(2026, 1, 1, tzinfo=UTC),
    "America/New_York": datetime(2026, 1, 1, tzinfo=UTC),
    "Europe/Berlin": datetime(2026, 1, 1, tzinfo=UTC),
    "Australia/Lord_Howe": datetime(2026, 1, 1, tzinfo=UTC),  # half an hour
    "Africa/Casablanca": datetime(2026, 1, 1, tzinfo=UTC),  # back for Ramadan only
    "Asia/Kathmandu": datetime(2026, 1, 1, tzinfo=UTC),  # 5:45 ahead
    "America/Sao_Paulo": datetime(2018, 3, 1, tzinfo=UTC),  # its last summer time, at midnight
    "Pacific/Apia": datetime(2011, 3, 1, tzinfo=UTC),  # left out a whole day
}
EXPRESSIONS = (
    "*/15 * * * *",
    "0 * * * *",
    "*/10 8-10 * * MON-FRI",
    "7,37 */3 * * *",
    "0 0 * * *",
    "30 1 * * *",
    "30 2 * * *",
    "15,45 2 * * *",
    "0,30 0-3 * * *",
    "0 0-23/2 * * *",
    "*/20 1-3 * * *",
    "59 23 * * *",
    "0 12 1 * *",
    "0 0 L * *",
    "30 2 LW * *",
    "0 3 * * SUN",
    "15 1 * * 5L",
    "45 2 * * MON#2",
    "0 5 13 * FRI",
    "30 9 * MAR-MAY,OCT MON-FRI",
)
TRANSITIONS = {
    "UTC": 0,
    "America/New_York": 2,
    "Europe/Berlin": 2,
    "Australia/Lord_Howe": 2,
    "Africa/Casablanca": 2,
    "Asia/Kathmandu": 0,
    "America/Sao_Paulo": 2,
    "Pacific/Apia": 4,
}
"""How often the clock was set within the days that are looked at: so the test looks at what it says it does."""


def span(zone: str) -> tuple[int, int]:
    start = int(ZONES[zone].timestamp())
    return start, start + DAYS * 86400


@cache
def wall_of(zone: str) -> Wall:
    return walk(zone, *span(zone))


@cache
def expected_of(expression: str, zone: str) -> list[int]:
    return firings(expression, wall_of(zone))


def slots_of(expression: str, zone: str) -> FieldSlots:
    return field_slots(parse_expression(expression), zone, what="cron")


def test_there_are_eight_zones_and_twenty_expressions() -> None:
    assert (len(ZONES), len(set(EXPRESSIONS))) == (8, 20)


@pytest.mark.parametrize("zone", ZONES)
def test_every_firing_of_400_days_and_no_other(zone: str) -> None:
    start, end = span(zone)
    differences = {}
    for expression in EXPRESSIONS:
        expected = set(expected_of(expression, zone))
        found = list(takewhile(lambda slot: slot < end, slots_of(expression, zone).after(start - 1)))
        missing, extra = expected - set(found), [slot for slot in found if slot not in expected]
        if missing or extra or found != sorted(set(found)):
            differences[expression] = (sorted(missing), extra)
    assert differences == {}


@pytest.mark.parametrize("zone", [zone for zone, count in TRANSITIONS.items() if count])
def test_search_backwards_finds_the_same(zone: str) -> None:
    start, end = span(zone)
    for expression in EXPRESSIONS[1:]:
        slots = slots_of(expression, zone)
        found = list(takewhile(lambda slot: slot >= start, slots.before(end - 1)))
        assert found[::-1] == expected_of(expression, zone), expression


@pytest.mark.parametrize("zone", [zone for zone, count in TRANSITIONS.items() if count])
def test_search_may_begin_anywhere_around_a_transition(zone: str) -> None:
    """From every quarter of an hour within six hours of each change of the clock, forwards and backwards."""
    changes = changes_of(zone)
    for expression in EXPRESSIONS:
        slots, expected = slots_of(expression, zone), expected_of(expression, zone)
        for change in changes:
            for begin in range(change - 21600, change + 21600, 900):
                at = bisect_right(expected, begin)
                if at < len(expected):
                    assert next(slots.after(begin)) == expected[at], (expression, begin)
                if at:
                    assert next(slots.before(begin)) == expected[at - 1], (expression, begin)


@pytest.mark.parametrize("zone", ZONES)
def test_clock_changes_within_the_days_that_are_looked_at(zone: str) -> None:
    assert len(changes_of(zone)) == TRANSITIONS[zone]


@cache
def changes_of(zone: str) -> list[int]:
    """Return when the clock is set within the days: looked for by the hour, then by the minute."""
    start, end = span(zone)
    tz = ZoneInfo(zone)

    def is_changed(instant: int, step: int) -> bool:
        offsets = [datetime.fromtimestamp(at, tz).utcoffset() for at in (instant, instant + step)]
        return offsets[0] != offsets[1]

    hours = [hour for hour in range(start, end, 3600) if is_changed(hour, 3600)]
    return [minute + 60 for hour in hours for minute in range(hour, hour + 3600, 60) if is_changed(minute, 60)]
