"""The levels, by every name they are known by."""

from __future__ import annotations

import logging as stdlib_logging

from undercroft._core.errors import near_names
from undercroft.logging._errors import LogLevelError

Level = str | int
"""`trace`, `debug`, `info`, `warning`, `error` or `critical` as text, another name of one, or a number from 1 to 50."""

TRACE = 5
"""Below the standard library's debug: what is only looked at when a single step is in question."""

_NUMBERS = {
    "trace": TRACE,
    "debug": stdlib_logging.DEBUG,
    "info": stdlib_logging.INFO,
    "warning": stdlib_logging.WARNING,
    "error": stdlib_logging.ERROR,
    "critical": stdlib_logging.CRITICAL,
    # What other systems call them: npm, syslog, Python.
    "silly": TRACE,
    "verbose": stdlib_logging.DEBUG,
    "http": stdlib_logging.INFO,
    "notice": stdlib_logging.INFO,
    "warn": stdlib_logging.WARNING,
    "err": stdlib_logging.ERROR,
    "fatal": stdlib_logging.CRITICAL,
    "alert": stdlib_logging.CRITICAL,
    "emergency": stdlib_logging.CRITICAL,
}
_LIST = "trace, debug, info, warning (warn), error, critical (fatal)"

WORDS = {
    TRACE: "trace",
    stdlib_logging.DEBUG: "debug",
    stdlib_logging.INFO: "info",
    stdlib_logging.WARNING: "warning",
    stdlib_logging.ERROR: "error",
    stdlib_logging.CRITICAL: "critical",
}
"""What a line calls each of ours."""


def level_number(level: Level, *, what: str = "level") -> int:
    """Return the standard library's number of `level`; case and surrounding space do not matter.

    Args:
        what: The setting it came from; named in the error.

    Raises:
        LogLevelError: An unknown name, or a number outside 1 to 50.
    """
    if isinstance(level, str) and level.strip().lower() in _NUMBERS:
        return _NUMBERS[level.strip().lower()]
    if isinstance(level, int) and not isinstance(level, bool) and 1 <= level <= stdlib_logging.CRITICAL:
        return level
    near = near_names(level.strip(), _NUMBERS) if isinstance(level, str) else ()
    raise LogLevelError(f"{what} {level!r} is not a log level", near=near, hint=f"levels: {_LIST}")
