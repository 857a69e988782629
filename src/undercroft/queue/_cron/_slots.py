"""When a cron fires: the instants, forwards and backwards, by its fields and its time zone or by its interval.

`cronsim` finds the wall-clock times that match the fields, on a calendar without time zones; how those become instants
where a zone's clock is set forward or back is decided here, so that the same instants come out wherever the search
begins. The rules are Debian cron's, as `cronsim` states them:

- an expression for times of day (`Expression.is_fixed`): a time that the clock skips fires when the clock has been set
  forward, once for all such times; a time that comes twice fires the first time only;
- any other (a rhythm: `*/5 * * * *`, `0 * * * *`, all with seconds): fires whenever the clock on the wall shows a time
  that matches; not at times that are skipped, twice at times that come twice.

Slots are whole epoch seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Protocol

from undercroft._core.durations import Duration, format_seconds, to_seconds
from undercroft._core.errors import near_names
from undercroft._core.extras import require_module
from undercroft.queue._cron._expression import Expression
from undercroft.queue._errors import JobDefinitionError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo  # imported late: it reads the build's whole configuration

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # wall-clock times are counted from here too
_LONG_AGO = 946_684_800  # 2000
_GIVE_UP_YEARS = 50


class Slots(Protocol):
    """An endless row of instants."""

    @property
    def text(self) -> str:
        """What it was made from."""

    def after(self, instant: int) -> Iterator[int]:
        """Yield the slots later than `instant`, in order; none when there is none within 50 years."""

    def before(self, instant: int) -> Iterator[int]:
        """Yield the slots not later than `instant`, latest first."""

    def describe(self) -> str:
        """Say it in words."""


@dataclass(frozen=True, slots=True)
class IntervalSlots:
    """Every so many seconds, counted from the epoch, so that all hosts agree."""

    every_s: int

    @property
    def text(self) -> str:
        return f"every {format_seconds(self.every_s)}"

    def after(self, instant: int) -> Iterator[int]:
        slot = (instant // self.every_s + 1) * self.every_s
        while True:
            yield slot
            slot += self.every_s

    def before(self, instant: int) -> Iterator[int]:
        slot = instant // self.every_s * self.every_s
        while True:
            yield slot
            slot -= self.every_s

    def describe(self) -> str:
        return f"Every {format_seconds(self.every_s)}"


@dataclass(frozen=True, slots=True)
class FieldSlots:
    """The fields of an expression, by the clocks of one zone."""

    expression: Expression
    zone: ZoneInfo

    @property
    def text(self) -> str:
        return self.expression.text

    def after(self, instant: int) -> Iterator[int]:
        wall, repeated_s = self._wall(instant)
        walls = self._walls(wall - timedelta(seconds=repeated_s), is_reverse=False)
        return self._beyond(instant, walls, sign=1)

    def before(self, instant: int) -> Iterator[int]:
        wall, repeated_s = self._wall(instant)
        walls = self._walls(wall + timedelta(seconds=repeated_s + 1), is_reverse=True)
        return self._beyond(instant + 1, walls, sign=-1)

    def describe(self) -> str:
        return str(_cronsim().CronSim(self.expression.canonical, _EPOCH).explain())

    def _wall(self, instant: int) -> tuple[datetime, int]:
        """Return what the clock shows, and by how many seconds it is about to be, or was, set back."""
        wall = datetime.fromtimestamp(instant, self.zone).replace(tzinfo=None, fold=0)
        first, second = _offsets(wall, self.zone)
        return wall, max(0, first - second)

    def _walls(self, wall: datetime, *, is_reverse: bool) -> Iterator[datetime]:
        try:
            yield from _cronsim().CronSim(self.expression.canonical, wall, is_reverse)
        except OverflowError:  # the calendar ends
            return

    def _beyond(self, instant: int, walls: Iterator[datetime], *, sign: int) -> Iterator[int]:
        """Yield the instants of wall-clock times, strictly on from `instant` in the direction of `sign`."""
        instant *= sign
        for slot in self._in_order(walls, sign):
            if slot * sign > instant:
                instant = slot * sign
                yield slot

    def _in_order(self, walls: Iterator[datetime], sign: int) -> Iterator[int]:
        held: list[int] = []  # times of a repeated hour, on their other pass through it
        year = None
        for wall in walls:
            found = self._instants(wall)[::sign]
            if found or year is None:
                year = wall.year
            if not found:
                if abs(wall.year - year) > _GIVE_UP_YEARS:  # it only ever names times that are skipped
                    break
                continue
            if held and found[0] * sign > held[0] * sign:
                yield from held
                held = []
            yield found[0]
            held += found[1:]
        yield from held

    def _instants(self, wall: datetime) -> tuple[int, ...]:
        first, second = _offsets(wall, self.zone)
        since = wall - _EPOCH
        shown = since.days * 86400 + since.seconds
        if first == second:
            return (shown - first,)
        if first > second:
            return (shown - first,) if self.expression.is_fixed else (shown - first, shown - second)
        return (self._end_of_gap(shown - second, shown - first),) if self.expression.is_fixed else ()

    def _end_of_gap(self, early: int, late: int) -> int:
        """Return when the clock was set forward: after `early` and not after `late`."""
        before = datetime.fromtimestamp(early, self.zone).utcoffset()
        while late - early > 1:
            middle = (early + late) // 2
            if datetime.fromtimestamp(middle, self.zone).utcoffset() == before:
                early = middle
            else:
                late = middle
        return late


@dataclass(frozen=True, slots=True)
class Timetable:
    """The firings of a cron: its slots between two bounds. Immutable; any number of iterators at once."""

    slots: Slots = field(repr=False)
    tz: str
    start: datetime | None = None
    """No firing before this instant."""
    end: datetime | None = None
    """No firing after this instant."""

    @property
    def text(self) -> str:
        """The expression, or `every 5m`."""
        return self.slots.text

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Yield the firings later than an aware instant, in order, in the cron's time zone."""
        from zoneinfo import ZoneInfo

        zone = ZoneInfo(self.tz)
        return (datetime.fromtimestamp(slot, zone) for slot in self.slots_after(instant.timestamp()))

    def slots_after(self, instant: float) -> Iterator[int]:
        """Yield the slots later than `instant`, in order."""
        first = math.floor(instant)
        if self.start is not None:
            first = max(first, math.ceil(self.start.timestamp()) - 1)
        last = math.inf if self.end is None else self.end.timestamp()
        return takewhile(lambda slot: slot <= last, self.slots.after(first))

    def slots_before(self, instant: float) -> Iterator[int]:
        """Yield the slots not later than `instant`, latest first."""
        last = math.floor(instant if self.end is None else min(instant, self.end.timestamp()))
        first = -math.inf if self.start is None else self.start.timestamp()
        return takewhile(lambda slot: slot >= first, self.slots.before(last))

    def describe(self) -> str:
        """Say it in words: `At 03:30 on Monday (Europe/Berlin)`."""
        words = self.slots.describe()
        return words if self.tz == "UTC" else f"{words} ({self.tz})"


def interval_slots(every: Duration, *, what: str) -> IntervalSlots:
    """Return the slots of `every=`.

    Raises:
        JobDefinitionError: Not a whole number of seconds, or less than one.
    """
    seconds = to_seconds(every, name="every")
    if seconds < 1 or seconds != int(seconds):
        raise JobDefinitionError(f"{what}: every {every!r} is not a whole number of seconds, at least 1")
    return IntervalSlots(int(seconds))


def field_slots(expression: Expression, tz: Any, *, what: str) -> FieldSlots:
    """Return the slots of an expression in a zone.

    Raises:
        JobDefinitionError: There is no such zone, or no such instant.
        MissingExtraError: `cronsim` is not installed.
    """
    slots = FieldSlots(expression, _zone(tz, what))
    try:
        first = next(slots.after(_LONG_AGO), None)
    except _cronsim().CronSimError:
        first = None
    if first is None:
        raise JobDefinitionError(
            f"{what}: {expression.text!r} never fires: there is no such day", hint="look at day of month and month"
        )
    return slots


def _zone(tz: Any, what: str) -> ZoneInfo:
    from zoneinfo import ZoneInfo, available_timezones

    try:
        return ZoneInfo(tz)
    except (KeyError, ValueError, OSError, TypeError, AttributeError):
        known = available_timezones()
    hint = "use a name of the IANA database, such as Europe/Berlin"
    if not known:
        hint = "this machine has no time zones: pip install tzdata"
    near = near_names(tz, known) if isinstance(tz, str) else []
    raise JobDefinitionError(f"{what}: there is no time zone {tz!r}", near=near, hint=hint)


def _offsets(wall: datetime, zone: ZoneInfo) -> tuple[int, int]:
    """Return the seconds east of UTC at a wall-clock time: on its first and on its second pass, PEP 495's folds.

    The first is larger where the time comes twice, smaller where it is skipped.
    """
    first, second = zone.utcoffset(wall), zone.utcoffset(wall.replace(fold=1))
    assert first is not None
    assert second is not None
    return first.days * 86400 + first.seconds, second.days * 86400 + second.seconds


def _cronsim() -> Any:
    return require_module("cronsim", extra="cron", needed_for="a cron expression")
