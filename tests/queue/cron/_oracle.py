"""The declared policy, computed another way: by walking through every minute and looking at the clock on the wall.

Nothing here uses `cronsim`, undercroft, or the offsets of a zone: only what the wall shows at an instant. Policy, for
an expression of five fields:

- A rhythm (the minute or the hour begins with a star): at every instant at which the wall shows a time that matches.
- Times of day (all others): at the first instant at which the wall shows a time that matches; a time that the wall
  never shows, at the instant at which it jumped over it. Several such times are one firing.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
NAMES = {name: number for number, name in enumerate(MONTHS, start=1)} | {name: n for n, name in enumerate(DAYS)}


@dataclass
class Wall:
    """What a zone's wall clock showed, minute by minute. Its minutes are counted from the year 1."""

    shown: dict[int, list[int]] = field(default_factory=dict)
    """Minute on the wall → the instants at which it was shown, in order."""
    skipped: dict[int, int] = field(default_factory=dict)
    """Minute that the wall never showed → the instant at which the clock jumped over it."""


def walk(zone: str, start: int, end: int) -> Wall:
    """Look at the wall at every minute from `start` to `end`, epoch seconds."""
    wall, tz, look, before = Wall(), ZoneInfo(zone), datetime.fromtimestamp, None
    for instant in range(start, end, 60):
        local = look(instant, tz)
        minute = local.toordinal() * 1440 + local.hour * 60 + local.minute
        wall.shown.setdefault(minute, []).append(instant)
        if before is not None and minute > before + 1:
            wall.skipped.update(dict.fromkeys(range(before + 1, minute), instant))
        before = minute
    return wall


def firings(expression: str, wall: Wall) -> list[int]:
    """Return when an expression fires within the walk."""
    minutes, hours, *days = expression.upper().split()
    is_fixed = not minutes.startswith("*") and not hours.startswith("*")
    wanted = [60 * hour + minute for hour in values(hours, 0, 23) for minute in values(minutes, 0, 59)]
    found: set[int] = set()
    first, last = next(iter(wall.shown)), next(reversed(wall.shown))
    for day in range(first // 1440, last // 1440 + 1):
        if not is_day(date.fromordinal(day), *days):
            continue
        for minute in (day * 1440 + minute for minute in wanted):
            shown = wall.shown.get(minute, ())
            found.update(shown[:1] if is_fixed else shown)
            if is_fixed and minute in wall.skipped:
                found.add(wall.skipped[minute])
    return sorted(found)


def is_day(day: date, days: str, months: str, weekdays: str) -> bool:
    """Tell whether a date matches the last three fields. Debian: a star in either of the two means both must match."""
    if day.month not in values(months, 1, 12):
        return False
    in_month, in_week = _is_in_month(day, days), _is_in_week(day, weekdays)
    return in_month and in_week if days.startswith("*") or weekdays.startswith("*") else in_month or in_week


@cache
def values(text: str, low: int, high: int) -> frozenset[int]:
    """Return the numbers that a field without `L` and `#` names."""
    found: set[int] = set()
    for term in text.split(","):
        span, _, step = term.partition("/")
        first, dash, last = span.partition("-")
        begin = low if span == "*" else _number(first)
        end = high if span == "*" or (step and not dash) else _number(last) if dash else begin
        found.update(range(begin, end + 1, int(step or 1)))
    return frozenset(found)


def _number(text: str) -> int:
    return NAMES[text] if text in NAMES else int(text)


def _is_in_month(day: date, text: str) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    special = {"L": last}
    if "LW" in text:
        special["LW"] = max(number for number in range(1, last + 1) if day.replace(day=number).weekday() < 5)
    plain = [term for term in text.split(",") if term not in special]
    wanted = values(",".join(plain), 1, 31) if plain else frozenset()
    return day.day in wanted | {special[term] for term in text.split(",") if term in special}


def _is_in_week(day: date, text: str) -> bool:
    weekday = day.isoweekday() % 7
    for term in text.split(","):
        if "#" in term:
            name, _, nth = term.partition("#")
            if _number(name) % 7 == weekday and (day.day - 1) // 7 + 1 == int(nth):
                return True
        elif term.endswith("L"):
            if int(term[:-1]) % 7 == weekday and (day + timedelta(days=7)).month != day.month:
                return True
        elif weekday in {number % 7 for number in values(term, 0, 7 if "-" in term else 6)}:
            return True
    return False
