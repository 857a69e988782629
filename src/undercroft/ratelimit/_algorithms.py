"""The kinds of limits, as values. Each says what it promises, how large its state is for a key, and what it costs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Literal

from undercroft._core.durations import Duration, format_seconds
from undercroft._core.errors import near_names
from undercroft.ratelimit._calendar import LENGTH_US, PERIODS, WEEKDAYS, Period, boundaries, zone
from undercroft.ratelimit._errors import RateLimitDefinitionError
from undercroft.ratelimit._rate import RateLike, microseconds, to_rate
from undercroft.ratelimit._rules import (
    MOST,
    BucketRule,
    CalendarRule,
    CounterRule,
    LogRule,
    Rule,
    SlotsRule,
    WindowRule,
)

_MOST_PRECISE = 1000


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """Bursts of up to `capacity`, and `refill` in the long run: in any time t at most `capacity + rate * t`.

    Full at first. State: two numbers.

    Args:
        capacity: How much can be used at once.
        refill: How fast it comes back: `"5/s"`, `"100 per 1m"`, a number per second, a `Rate`. By default the whole
            capacity in a second.
    """

    capacity: int
    refill: RateLike | None = None

    def rule(self) -> Rule:
        """Return it in whole numbers."""
        capacity = _limit(self.capacity, "capacity")
        return BucketRule(capacity=capacity, rate=_rate(capacity if self.refill is None else self.refill, "refill"))

    def __post_init__(self) -> None:
        self.rule()

    def __str__(self) -> str:
        return f"{self.capacity} at once, refilled by {_shown(self.capacity if self.refill is None else self.refill)}"


@dataclass(frozen=True, slots=True)
class Gcra:
    """Calls spaced evenly at `rate`, of which `burst` may come at once: in any time t at most `burst + rate * t`.

    The generic cell rate algorithm (ITU-T I.371); a token bucket of that capacity decides the same. State: two numbers.
    """

    rate: RateLike
    burst: int = 1

    def rule(self) -> Rule:
        """Return it in whole numbers."""
        return BucketRule(capacity=_limit(self.burst, "burst"), rate=_rate(self.rate, "rate"))

    def __post_init__(self) -> None:
        self.rule()

    def __str__(self) -> str:
        return f"{_shown(self.rate)}, {self.burst} at once"


@dataclass(frozen=True, slots=True)
class LeakyBucket:
    """A bucket that leaks at `leak`, and refuses what would make it run over: in any time t at most
    `capacity + leak * t`.

    A leaky bucket *as a meter*: it refuses, and does not hold calls back to let them out evenly (that is a queue). As
    a meter it decides as a token bucket does. State: two numbers.
    """

    capacity: int
    leak: RateLike

    def rule(self) -> Rule:
        """Return it in whole numbers."""
        return BucketRule(capacity=_limit(self.capacity, "capacity"), rate=_rate(self.leak, "leak"))

    def __post_init__(self) -> None:
        self.rule()

    def __str__(self) -> str:
        return f"{self.capacity}, leaking {_shown(self.leak)}"


@dataclass(frozen=True, slots=True)
class FixedWindow:
    """At most `limit` in each window; windows are aligned to the epoch, so that a minute is a minute of the clock.

    Around the border of two windows up to twice the limit can go through within the length of one. State: two numbers.
    """

    limit: int
    window: Duration

    def rule(self) -> Rule:
        """Return it in whole numbers."""
        return WindowRule(limit=_limit(self.limit, "limit"), window_us=microseconds(self.window, name="window"))

    def __post_init__(self) -> None:
        self.rule()

    def __str__(self) -> str:
        return f"{self.limit} per {format_seconds(self.rule().window_us / 1e6)}, aligned"


@dataclass(frozen=True, slots=True)
class SlidingWindow:
    """At most `limit` in every window, wherever it begins.

    Args:
        kind: `log` remembers each call and is exact; its state grows with the limit, so it is for limits up to a few
            thousands. `counter` counts by sub-windows and never lets more than the limit through either, but a call
            may count for up to one sub-window longer than the window: `precision + 1` pairs of numbers at most.
        precision: Sub-windows in a window of a counter. With 10, a key that is always at its limit gets at least
            10/11 of it.
    """

    limit: int
    window: Duration
    kind: Literal["log", "counter"] = "log"
    precision: int = 10

    def rule(self) -> Rule:
        """Return it in whole numbers."""
        limit, window_us = _limit(self.limit, "limit"), microseconds(self.window, name="window")
        if self.kind == "log":
            return LogRule(limit=limit, window_us=window_us)
        if self.kind != "counter":
            raise _unknown("kind", self.kind, ("log", "counter"))
        return CounterRule(limit=limit, window_us=window_us, precision=_precision(self.precision, window_us))

    def __post_init__(self) -> None:
        self.rule()

    def __str__(self) -> str:
        return f"{self.limit} per {format_seconds(self.rule().window_us / 1e6)}"


@dataclass(frozen=True, slots=True)
class Concurrency:
    """At most `limit` at work at once. A slot is held until it is given back, or until its lease ends.

    The lease is for a holder that died; it should be longer than the longest work, or be extended. A call takes one
    slot, whatever it costs. State: a token and a number for each slot in use.
    """

    limit: int
    lease: Duration = 60

    def rule(self) -> Rule:
        """Return it in whole numbers."""
        return SlotsRule(limit=_limit(self.limit, "limit"), lease_us=microseconds(self.lease, name="lease"))

    def __post_init__(self) -> None:
        self.rule()

    def __str__(self) -> str:
        return f"{self.limit} at once"


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `limit` in each hour, day, week, month or year: of the calendar of a time zone, or rolling.

    Calendar: begins anew with the period, whatever is left; daylight saving and the lengths of months are those of the
    zone. State: two numbers. Rolling: in every stretch of that length (a month of 30 days, a year of 365), counted by
    sub-windows as `SlidingWindow(kind="counter")` does.

    Args:
        tz: IANA name of the zone; for a calendar's periods.
        week_start: On which day a week begins; for a calendar's weeks.
        warn_at: The share of the limit from which on `Decision.is_near_limit` is true; the call that reaches it writes
            a warning. `None`: never.
        precision: Sub-windows of a rolling period.
    """

    limit: int
    period: Period
    tz: str = "UTC"
    rolling: bool = False
    week_start: str = "monday"
    warn_at: float | None = 0.8
    precision: int = 30

    def rule(self) -> Rule:
        """Return it in whole numbers."""
        limit, period = _limit(self.limit, "limit"), self.period
        if period not in PERIODS:
            raise _unknown("period", period, PERIODS)
        if self.week_start not in WEEKDAYS:
            raise _unknown("week_start", self.week_start, WEEKDAYS)
        length, warn_at = LENGTH_US[period], self._warn_at(limit)
        if self.rolling:
            precision = _precision(self.precision, length)
            return CounterRule(limit=limit, window_us=length, precision=precision, warn_at=warn_at)
        week_start = WEEKDAYS.index(self.week_start)
        return CalendarRule(
            limit=limit,
            window_us=length,
            part=f"q{period}.{self.tz}{f'.{week_start}' if period == 'week' else ''}",
            warn_at=warn_at,
            boundaries=partial(boundaries, period, zone(self.tz), week_start),
        )

    def __post_init__(self) -> None:
        self.rule()

    def __str__(self) -> str:
        return f"{self.limit} per {self.period}"

    def _warn_at(self, limit: int) -> int | None:
        if self.warn_at is None:
            return None
        if isinstance(self.warn_at, bool) or not 0 < self.warn_at <= 1:
            raise RateLimitDefinitionError(
                f"warn_at {self.warn_at!r} is not a share of the limit", hint="give 0.8 for 80 %, or None"
            )
        return math.ceil(limit * Fraction(str(self.warn_at)))


Limit = TokenBucket | Gcra | LeakyBucket | FixedWindow | SlidingWindow | Concurrency | Quota
"""Any of the kinds."""


def _limit(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST:
        raise RateLimitDefinitionError(
            f"{name} {value!r} is not a whole number of at least 1",
            hint="to let nothing through, refuse before asking a limit" if value == 0 else None,
        )
    return value


def _rate(value: RateLike, name: str) -> Fraction:
    return to_rate(value, name=name).per_us


def _shown(value: RateLike) -> str:
    rate = to_rate(value, name="rate")
    return f"{rate.count:g} per {format_seconds(microseconds(rate.per, name='per') / 1e6)}"


def _precision(value: object, window_us: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= min(_MOST_PRECISE, window_us):
        raise RateLimitDefinitionError(
            f"precision {value!r} is not a whole number from 1 to {min(_MOST_PRECISE, window_us)}",
            hint="10 sub-windows are enough for most; for an exact window use kind='log'",
        )
    return value


def _unknown(name: str, value: str, known: tuple[str, ...]) -> RateLimitDefinitionError:
    return RateLimitDefinitionError(
        f"there is no {name} {value!r}", near=near_names(str(value), known), hint=f"there are: {', '.join(known)}"
    )
