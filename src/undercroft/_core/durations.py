"""One parser for every duration that undercroft accepts."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from undercroft._core.errors import ConfigError

Duration = float | int | timedelta | str
"""Seconds as a number, a `timedelta`, or text such as `"500ms"`, `"30s"`, `"5m"`, `"1h30m"`, `"24h"`, `"2w"`."""

_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_TERM = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_TEXT = re.compile(rf"(?:{_TERM.pattern})+")


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
        seconds = float(value)
    if not math.isfinite(seconds) or seconds < 0:
        raise _error(name, value)
    return seconds


def format_seconds(seconds: float) -> str:
    """Write seconds the way `to_seconds` reads them: `format_seconds(5400)` is `"1h30m"`."""
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
    compact = text.strip().lower().replace(" ", "")
    if re.fullmatch(r"\d+(\.\d+)?", compact):
        return float(compact)
    if not _TEXT.fullmatch(compact):
        raise _error(name, text)
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _TERM.findall(compact))


def _error(name: str, value: object) -> DurationError:
    return DurationError(
        f"{name} {value!r} is not a duration of at least 0",
        hint='give seconds (30, 0.5), a timedelta, or text such as "500ms", "30s", "5m", "1h30m", "24h", "7d"',
    )
