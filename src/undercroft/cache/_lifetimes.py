"""How long values live: what a call says, what the cache says otherwise, and the little less that keeps apart what was
written together."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final, Literal

from undercroft._core.durations import Duration, DurationError, to_seconds
from undercroft.cache._errors import CacheOptionError, MissingTTLError


class Forever(enum.Enum):
    """The type of `NO_EXPIRY`."""

    NO_EXPIRY = "NO_EXPIRY"

    def __repr__(self) -> str:
        return self.value


NO_EXPIRY: Final = Forever.NO_EXPIRY
"""A ttl that says aloud: keep it until somebody deletes it, or the store needs the room."""

Ttl = Duration | Literal[Forever.NO_EXPIRY]
"""How long a value is fresh: seconds, a `timedelta`, text such as `"5m"`, or `NO_EXPIRY`."""


class Lifetimes:
    """Turns ttls into seconds.

    Args:
        default: Of values whose call says nothing.
        jitter: A ttl is shortened by up to this share of itself, by chance.
        random: Gives numbers from 0 to 1.
    """

    def __init__(self, default: Ttl | None, *, jitter: float, random: Callable[[], float]) -> None:
        if not 0 <= jitter < 1:
            raise CacheOptionError(f"jitter={jitter!r} is not a share", hint="give 0.0 (none) to less than 1.0")
        self._default = None if default is None else positive(default, "default_ttl")
        self.given = default
        self.jitter = jitter
        self._random = random

    def seconds(self, ttl: Ttl | None, ttl_ms: float | None, call: str) -> float | None:
        """Return how long a value is to be fresh; `None` is for ever.

        Raises:
            CacheOptionError: It is 0, negative, no duration, or given twice.
            MissingTTLError: It is not given, and there is no default.
        """
        if ttl_ms is not None:
            if ttl is not None:
                raise CacheOptionError(f"{call} got ttl={ttl!r} and ttl_ms={ttl_ms!r}", hint="give one of the two")
            seconds = positive(ttl_ms, "ttl_ms")
            seconds = None if seconds is None else seconds / 1000
        elif ttl is not None:
            seconds = positive(ttl, "ttl")
        elif self.given is not None:
            seconds = self._default
        else:
            raise MissingTTLError(call)
        return seconds

    def jittered(self, seconds: float | None) -> float | None:
        """Return a ttl for one value: never more, and less by chance."""
        return seconds if seconds is None or not self.jitter else seconds * (1 - self.jitter * self._random())


def positive(ttl: Ttl, name: str) -> float | None:
    """Return a ttl in seconds; `None` is for ever.

    Raises:
        CacheOptionError: It is 0, negative or no duration.
    """
    if ttl is NO_EXPIRY:
        return None
    try:
        seconds = to_seconds(ttl, name=name)
    except DurationError as exc:
        raise CacheOptionError(exc.message, hint=exc.hint) from None
    if seconds == 0:
        raise CacheOptionError(
            f"{name}={ttl!r} would keep nothing",
            hint=f"delete() forgets a value now; {name}=NO_EXPIRY keeps it for ever",
        )
    return seconds


def window(value: Duration | None, name: str) -> float:
    """Return a duration that may be 0, which is also what `None` means, in seconds.

    Raises:
        CacheOptionError: It is negative or no duration.
    """
    if value is None:
        return 0.0
    try:
        return to_seconds(value, name=name)
    except DurationError as exc:
        raise CacheOptionError(exc.message, hint=exc.hint) from None
