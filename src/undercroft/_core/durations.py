"""One parser for every duration that undercroft accepts."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from decimal import Decimal

from undercroft._core.errors import ConfigError

Duration = float | int | timedelta | str
"""Seconds as a number, a `timedelta`, or text such as `"500ms"`, `"30s"`, `"5m"`, `"1h30m"`, `"24h"`, `"2w"`."""

# Decimals, because 35 * 0.001 is not 0.035.
_UNIT_SECONDS = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
    "w": Decimal(604800),
}
_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_TERM = re.compile(rf"{_NUMBER} *(ms|[smhdw])")
_TEXT = re.compile(rf"(?: *{_TERM.pattern})+")


class DurationError(ConfigError):
    """A duration could not be read, is negative, or is not finite."""

    code = "UC0101"


def to_seconds(value: Duration, *, name: str = "duration") -> float:
    """Return `value` in seconds, as a finite float of at least 0.

    Args:
        value: See `Duration`. A bare number in text (`"30"`) is seconds.
        name: What the value is for; used in the error.

    Raises:
        DurationError: Anything else, `bool` included.
    """
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, str):
        seconds = _parse(value, name)
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise _error(name, value)
    else:
        seconds = _as_float(value, name)
    if not math.isfinite(seconds) or seconds < 0:
        raise _error(name, value)
    return seconds


def format_seconds(seconds: float) -> str:
    """Write seconds the way `to_seconds` reads them: `format_seconds(5400)` is `"1h30m"`.

    Rounded for people: to a millisecond below one second, six digits below one minute, a second above.
    """
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 60:
        return f"{seconds:g}s"
    rest, parts = round(seconds), []
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(rest, int(_UNIT_SECONDS[unit]))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def _parse(text: str, name: str) -> float:
    plain = text.strip().lower()
    if re.fullmatch(_NUMBER, plain):
        return float(plain)
    if not _TEXT.fullmatch(plain):
        raise _error(name, text)
    return float(sum(Decimal(number) * _UNIT_SECONDS[unit] for number, unit in _TERM.findall(plain)))


def _as_float(value: float, name: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise _error(name, math.inf) from None  # Python may refuse to write out an int this long


def _error(name: str, value: object) -> DurationError:
    return DurationError(
        f"{name} {value!r} is not a duration of at least 0",
        hint='give seconds (30, 0.5), a timedelta, or text such as "500ms", "30s", "5m", "1h30m", "24h", "7d"',
    )
