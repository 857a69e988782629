"""What a lock may be called, and how long a lease may be."""

from __future__ import annotations

from undercroft._core.durations import Duration, DurationError, format_seconds, to_seconds
from undercroft.resilience._locks._errors import LockDefinitionError

MAX_NAME = 200
MIN_TTL_S = 0.1
MAX_TTL_S = 86400.0


def check_name(name: object) -> str:
    """Return `name`.

    Raises:
        LockDefinitionError: It is no text, is empty, is longer than 200 characters, or has braces, control characters
            or half a surrogate pair in it. (On Redis, what stands in braces says which server of a cluster has the
            key.)
    """
    if not isinstance(name, str):
        raise LockDefinitionError(f"{name!r:.60} is not a lock's name", hint=f"give text of 1 to {MAX_NAME} characters")
    if not 0 < len(name) <= MAX_NAME:
        shown = f"{name[:40]}…" if len(name) > MAX_NAME else name
        raise LockDefinitionError(
            f"{shown!r} is not a lock's name: it has {len(name)} characters",
            hint=f"give text of 1 to {MAX_NAME} characters",
        )
    bad = next((character for character in name if character in "{}" or not _is_printable(character)), None)
    if bad is not None:
        raise LockDefinitionError(
            f"the lock's name {name!r} has {bad!r} in it", hint="leave out braces and control characters"
        )
    return name


def check_ttl(ttl: Duration) -> float:
    """Return `ttl` in seconds.

    Raises:
        LockDefinitionError: It is no duration, or not from 100 milliseconds to a day.
    """
    seconds = check_duration(ttl, "ttl")
    if not MIN_TTL_S <= seconds <= MAX_TTL_S:
        raise LockDefinitionError(
            f"a lock's ttl of {format_seconds(seconds)} is not from 100ms to 1d",
            hint="30s suits most; a lease is renewed as long as its holder lives, so it need not be long",
        )
    return seconds


def check_duration(value: Duration, name: str) -> float:
    """Return `value` in seconds.

    Raises:
        LockDefinitionError: It is no duration.
    """
    try:
        return to_seconds(value, name=name)
    except DurationError as exc:
        raise LockDefinitionError(exc.message, hint=exc.hint) from None


def _is_printable(character: str) -> bool:
    return character.isprintable() and not "\ud800" <= character <= "\udfff"
