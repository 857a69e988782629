"""Periods of a calendar: where an hour, a day, a week, a month or a year begins in a time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Literal

from undercroft.ratelimit._errors import RateLimitDefinitionError

Period = Literal["hour", "day", "week", "month", "year"]
PERIODS: tuple[Period, ...] = ("hour", "day", "week", "month", "year")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
LENGTH_US: dict[Period, int] = {
    "hour": 3_600_000_000,
    "day": 86_400_000_000,
    "week": 7 * 86_400_000_000,
    "month": 30 * 86_400_000_000,
    "year": 365 * 86_400_000_000,
}
"""Of a rolling period, and about that of a calendar's."""


def zone(name: str) -> tzinfo:
    """Return a time zone by its IANA name.

    Raises:
        RateLimitDefinitionError: There is none of this name on this machine.
    """
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise RateLimitDefinitionError(
            f"there is no time zone {name!r} here",
            hint="write an IANA name such as Europe/Berlin; a machine without zones needs `pip install tzdata`",
        ) from None


def boundaries(period: Period, tz: tzinfo, week_start: int, now_us: int) -> tuple[int, int, int, int]:
    """Return the beginnings of the periods before, at and after `now_us`, and of the one after that.

    Days begin at their first instant, which is not always midnight; hours are those of the clock on the wall, each of
    3 600 seconds, so that an hour which a clock shows twice is two hours.
    """
    if period == "hour":
        return _hours(tz, now_us)
    today = datetime.fromtimestamp(now_us // 1_000_000, tz).date()
    first = _first_day(period, today, week_start)
    days = [_shifted(period, first, by) for by in (-1, 0, 1, 2)]
    before, at, after, last = (_first_instant(day, tz) for day in days)
    return before, at, after, last


def _hours(tz: tzinfo, now_us: int) -> tuple[int, int, int, int]:
    # By the offset of now: a zone of a half hour has its hours begin at half past.
    offset = datetime.fromtimestamp(now_us // 1_000_000, tz).utcoffset() or timedelta()
    offset_us = offset // timedelta(microseconds=1)
    hour = LENGTH_US["hour"]
    start = now_us - (now_us + offset_us) % hour
    return start - hour, start, start + hour, start + 2 * hour


def _first_day(period: Period, day: date, week_start: int) -> date:
    if period == "week":
        return day - timedelta(days=(day.weekday() - week_start) % 7)
    if period == "month":
        return day.replace(day=1)
    return day.replace(month=1, day=1) if period == "year" else day


def _shifted(period: Period, first: date, by: int) -> date:
    if period == "year":
        return first.replace(year=first.year + by)
    if period == "month":
        months = first.year * 12 + first.month - 1 + by
        return date(months // 12, months % 12 + 1, 1)
    return first + timedelta(days=by * (7 if period == "week" else 1))


def _first_instant(day: date, tz: tzinfo) -> int:
    """Return the first instant of a day in microseconds since the epoch.

    Midnight may not exist (clocks go from 0:00 to 1:00 in Beirut) or be there twice (Havana); the day begins when the
    date changes first.
    """
    midnight = datetime(day.year, day.month, day.day, tzinfo=tz)
    instant = int(midnight.timestamp())  # of the two there may be, the first; in a gap, by the offset before it
    found = datetime.fromtimestamp(instant, tz)
    if (found.date(), found.time()) != (day, midnight.time()):
        instant = _change_of_date(day, tz, instant)
    return instant * 1_000_000


def _change_of_date(day: date, tz: tzinfo, near: int) -> int:
    low, high = near - 26 * 3600, near + 26 * 3600  # a whole day may be missing (Apia, 2011-12-30)
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, tz).date() < day:
            low = middle
        else:
            high = middle
    return high
