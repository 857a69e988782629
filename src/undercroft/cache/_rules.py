"""What a call says about how a value is computed and kept."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Literal

import msgspec

from undercroft._core.durations import Duration
from undercroft.cache._counts import Counts
from undercroft.cache._envelope import Codec
from undercroft.cache._errors import CacheOptionError
from undercroft.cache._lifetimes import NO_EXPIRY, Ttl, window
from undercroft.cache._names import check_tags


class _Same(enum.Enum):
    SAME = "as other values"


SAME: Final = _Same.SAME


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """All durations in seconds."""

    fresh_for_s: float | None
    """`None` is for ever."""
    negative_s: float | Literal[_Same.SAME] | None = SAME
    """Of the value `None`; 0 is not stored."""
    stale_s: float = 0.0
    stale_on_error_s: float = 0.0
    early: float = 0.0
    tags: tuple[str, ...] = ()
    wait_s: float = 10.0
    is_refresh: bool = False
    """Compute also when there is a fresh value."""

    def fresh_s(self, value: object) -> float | None:
        """Return how long a value is fresh; 0 says not to store it."""
        return self.negative_s if value is None and self.negative_s is not SAME else self.fresh_for_s

    @property
    def longest_s(self) -> float | None:
        """How long a value is fresh at most, whichever it is."""
        negative = self.fresh_for_s if self.negative_s is SAME else self.negative_s
        return None if self.fresh_for_s is None or negative is None else max(self.fresh_for_s, negative)

    def kept_s(self, fresh_s: float | None) -> float | None:
        """Return how long the store keeps what is fresh for so long: while it may be served stale as well."""
        return None if fresh_s is None else fresh_s + max(self.stale_s, self.stale_on_error_s)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A value, and how to get it."""

    key: str
    """As the store has it."""
    compute: Callable[[], Awaitable[Any]]
    rules: Rules
    codec: Codec[Any]
    counts: Counts
    jittered: Callable[[float | None], float | None]
    """What becomes of a ttl."""
    what: str
    """The call, for messages."""


def rules_of(
    fresh_for_s: float | None,
    *,
    stale: Duration | None,
    stale_on_error: Duration | None,
    early: float,
    negative_ttl: Ttl | None,
    tags: Iterable[str],
    wait: Duration,
    refresh: bool,
) -> Rules:
    """Check the options of a call.

    Raises:
        CacheOptionError: One is not valid.
        CacheKeyError: A tag is not valid.
    """
    if not early >= 0:
        raise CacheOptionError(f"early={early!r} is not valid", hint="give 0 (never), 1.0, or more to refresh earlier")
    return Rules(
        fresh_for_s=fresh_for_s,
        negative_s=_negative(negative_ttl),
        stale_s=window(stale, "stale"),
        stale_on_error_s=window(stale_on_error, "stale_on_error"),
        early=early,
        tags=check_tags(tags) if tags else (),
        wait_s=window(wait, "wait"),
        is_refresh=refresh,
    )


def _negative(ttl: Ttl | None) -> float | Literal[_Same.SAME] | None:
    if ttl is None:
        return SAME
    return None if ttl is NO_EXPIRY else window(ttl, "negative_ttl")
