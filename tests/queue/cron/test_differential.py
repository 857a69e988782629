"""The same expressions by `cronsim` and `croniter`: equal, but around changes of the clock; there the table says why.

We use cronsim to find times on the wall, and decide about the changes of a zone ourselves; both libraries decide while
they search. The classes of differences, all measured against our declared policy, which the walk of `test_year` proves:

- HALF: cronsim goes on by whole hours, so that it comes half an hour late where the clock is set by half an hour.
- ONCE: croniter fires a rhythm only once where an hour comes twice, so that it pauses for that hour.
- SHIFTED: croniter moves a time of day that is skipped by the length of the gap; Debian's cron runs it at the change.
- TWICE: croniter fires a time of day a second time, an hour later, at a change at or near midnight.
- BETWEEN: croniter fires at an instant at which the wall shows no time that matches, or not at one that it jumped to.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
import pytz  # type: ignore[import-untyped]
from croniter import croniter  # type: ignore[import-untyped]
from cronsim import CronSim

from tests.queue.cron.test_year import EXPRESSIONS, ZONES, changes_of, slots_of, span

DAY = 86400
EVERY_QUARTER, EVERY_HOUR, EVERY_20, ODD = "*/15 * * * *", "0 * * * *", "*/20 1-3 * * *", "7,37 */3 * * *"

# class, library, zone, which change of the span, expression: firings that are missing there, and extra ones, in minutes
# from the change
TABLE: dict[tuple[str, str, int, str], tuple[str, list[int], list[int]]] = {
    ("cronsim", "Australia/Lord_Howe", 0, ODD): ("HALF", [97], []),
    ("cronsim", "Australia/Lord_Howe", 1, ODD): ("HALF", [37], []),
    ("croniter", "America/New_York", 1, EVERY_QUARTER): ("ONCE", [0, 15, 30, 45], []),
    ("croniter", "America/New_York", 1, EVERY_HOUR): ("ONCE", [0], []),
    ("croniter", "America/New_York", 1, EVERY_20): ("ONCE", [0, 20, 40], []),
    ("croniter", "Europe/Berlin", 1, EVERY_QUARTER): ("ONCE", [0, 15, 30, 45], []),
    ("croniter", "Europe/Berlin", 1, EVERY_HOUR): ("ONCE", [0], []),
    ("croniter", "Europe/Berlin", 1, EVERY_20): ("ONCE", [0, 20, 40], []),
    ("croniter", "Australia/Lord_Howe", 0, EVERY_QUARTER): ("ONCE", [0, 15], []),
    ("croniter", "Australia/Lord_Howe", 0, EVERY_20): ("ONCE", [10], []),
    ("croniter", "Africa/Casablanca", 0, EVERY_QUARTER): ("ONCE", [0, 15, 30, 45], []),
    ("croniter", "Africa/Casablanca", 0, EVERY_HOUR): ("ONCE", [0], []),
    ("croniter", "Africa/Casablanca", 0, EVERY_20): ("ONCE", [0, 20, 40], []),
    ("croniter", "America/Sao_Paulo", 1, EVERY_QUARTER): ("ONCE", [0, 15, 30, 45], []),
    ("croniter", "America/Sao_Paulo", 1, EVERY_HOUR): ("ONCE", [0], []),
    ("croniter", "America/New_York", 0, "30 2 * * *"): ("SHIFTED", [0], [30]),
    ("croniter", "America/New_York", 0, "15,45 2 * * *"): ("SHIFTED", [0], [15]),
    ("croniter", "Europe/Berlin", 0, "30 2 * * *"): ("SHIFTED", [0], [30]),
    ("croniter", "Europe/Berlin", 0, "15,45 2 * * *"): ("SHIFTED", [0], [15]),
    ("croniter", "Africa/Casablanca", 1, "30 2 * * *"): ("SHIFTED", [0], [30]),
    ("croniter", "Africa/Casablanca", 1, "15,45 2 * * *"): ("SHIFTED", [0], [15]),
    ("croniter", "America/Sao_Paulo", 0, "59 23 * * *"): ("TWICE", [], [1319]),
    ("croniter", "America/Sao_Paulo", 1, "59 23 * * *"): ("TWICE", [], [119]),
    ("croniter", "Australia/Lord_Howe", 1, EVERY_HOUR): ("BETWEEN", [], [0]),
    ("croniter", "Australia/Lord_Howe", 1, EVERY_20): ("BETWEEN", [], [0]),
    ("croniter", "Australia/Lord_Howe", 1, "15,45 2 * * *"): ("BETWEEN", [0], []),
    ("croniter", "America/Sao_Paulo", 0, ODD): ("BETWEEN", [], [7]),
}


def ours(expression: str, zone: str, start: int) -> Iterator[int]:
    return slots_of(expression, zone).after(start)


def by_cronsim(expression: str, zone: str, start: int) -> Iterator[int]:
    return (int(at.timestamp()) for at in CronSim(expression, datetime.fromtimestamp(start, ZoneInfo(zone))))


def by_croniter(expression: str, zone: str, start: int) -> Iterator[int]:
    spelled = expression.replace("5L", "L5")
    found = croniter(spelled, datetime.fromtimestamp(start, pytz.timezone(zone)))  # it knows pytz, and not zoneinfo
    while True:
        yield int(found.get_next(float))


LIBRARIES = {"cronsim": by_cronsim, "croniter": by_croniter}


def is_comparable(library: str, zone: str, expression: str) -> bool:
    """croniter knows no `LW`, and does not come back from the day that Apia left out."""
    return library == "cronsim" or ("LW" not in expression and zone != "Pacific/Apia")


@pytest.mark.parametrize("library", LIBRARIES)
def test_without_a_zone_every_firing_of_400_days_is_the_same(library: str) -> None:
    start, end = span("UTC")
    for expression in EXPRESSIONS[3:]:
        if is_comparable(library, "UTC", expression):
            theirs = takewhile(lambda at: at < end, LIBRARIES[library](expression, "UTC", start))
            assert list(theirs) == list(takewhile(lambda at: at < end, ours(expression, "UTC", start))), expression


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_difference_around_a_change_of_the_clock_is_in_the_table(library: str) -> None:
    found = {}
    for zone in ZONES:
        for number, change in enumerate(changes_of(zone)):
            for expression in EXPRESSIONS:
                if is_comparable(library, zone, expression):
                    missing, extra = differences(library, expression, zone, change)
                    if missing or extra:
                        found[library, zone, number, expression] = (missing, extra)
    table = {key: (missing, extra) for key, (_, missing, extra) in TABLE.items() if key[0] == library}
    assert found == table


def test_cronsim_depends_on_where_the_search_began() -> None:
    """Why the zone is not left to it: on the day of Lord Howe's change it misses 03:00 and 03:15, from some starts."""
    zone, day = ZoneInfo("Australia/Lord_Howe"), datetime(2026, 10, 3, 16, tzinfo=ZoneInfo("UTC"))
    from_evening = CronSim("*/15 3 * * *", datetime(2026, 10, 3, 12, tzinfo=zone))
    from_shortly_before = CronSim("*/15 3 * * *", datetime(2026, 10, 4, 2, 59, 59, tzinfo=zone))
    assert next(from_evening).isoformat() == "2026-10-04T03:30:00+11:00"
    assert next(from_shortly_before) == day
    assert next(slots_of("*/15 3 * * *", zone.key).after(int(day.timestamp()) - 12 * 3600)) == int(day.timestamp())


def differences(library: str, expression: str, zone: str, change: int) -> tuple[list[int], list[int]]:
    start, end = change - DAY, change + DAY
    mine = list(takewhile(lambda at: at < end, ours(expression, zone, start)))
    theirs = list(takewhile(lambda at: at < end, LIBRARIES[library](expression, zone, start)))
    missing = [(at - change) // 60 for at in mine if at not in theirs]
    return missing, [(at - change) // 60 for at in theirs if at not in mine]
