"""Rates such as `"5/s"`, exactly: a fraction of units per microsecond."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from undercroft._core.durations import Duration, DurationError, to_seconds
from undercroft.ratelimit._errors import RateLimitDefinitionError

_RATE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(?:/|\bper\b)\s*(.+?)\s*")
_WORDS = {
    "second": "1s",
    "sec": "1s",
    "minute": "1m",
    "min": "1m",
    "hour": "1h",
    "day": "1d",
    "week": "1w",
    "s": "1s",
    "m": "1m",
    "h": "1h",
    "d": "1d",
    "w": "1w",
}


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` per `per`. Immutable."""

    count: float
    per: Duration = 1

    @property
    def per_us(self) -> Fraction:
        """Units per microsecond."""
        return _fraction(self.count) / microseconds(self.per, name="per")


RateLike = Rate | str | float
"""A `Rate`, text such as `"5/s"`, `"100/minute"`, `"10 per 5m"`, or a number per second."""


def to_rate(value: object, *, name: str) -> Rate:
    """Read a rate.

    Raises:
        RateLimitDefinitionError: It is none, or not above 0.
    """
    rate = _read(value)
    if rate is None or not 0 < rate.count < float("inf"):
        raise RateLimitDefinitionError(
            f"{name} {value!r} is not a rate above 0",
            hint='give text such as "5/s", "100/minute", "10 per 5m", a number per second, or Rate(10, per="5m")',
        )
    microseconds(rate.per, name=name)
    return rate


def microseconds(value: Duration, *, name: str) -> int:
    """Return a duration in whole microseconds.

    Raises:
        DurationError: It is no duration.
        RateLimitDefinitionError: It is shorter than a microsecond, or longer than ten years.
    """
    us = round(_fraction(to_seconds(value, name=name)) * 1_000_000)
    if not 1 <= us <= 10 * 366 * 86_400_000_000:
        raise RateLimitDefinitionError(
            f"{name} {value!r} is not between a microsecond and ten years", hint='give a duration such as "1m"'
        )
    return us


def _read(value: object) -> Rate | None:
    if isinstance(value, Rate):
        return value
    if isinstance(value, str):
        match = _RATE.fullmatch(value)
        if match is None:
            return None
        per = match[2].lower()
        per = _WORDS.get(per) or _WORDS.get(per.removesuffix("s")) or per
        try:
            to_seconds(per)
        except DurationError:
            return None
        return Rate(float(match[1]), per)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return Rate(value)


def _fraction(value: float) -> Fraction:
    # By its text: 0.1 per second is a tenth, and not what the nearest float happens to be.
    return Fraction(str(value))
