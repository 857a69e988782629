"""Errors of this process, counted by what they are."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from undercroft._core.clock import Clock, SystemClock, utc
from undercroft.monitoring._metrics._declared import Counter
from undercroft.monitoring._tracking._categories import ErrorCategory, categorize_error
from undercroft.monitoring._tracking._errors import TrackingError
from undercroft.monitoring._tracking._fingerprint import fingerprint_from, fingerprint_in, share, traits_of
from undercroft.monitoring._tracking._frames import Frame, InApp, frames_of, leaves_of, type_name
from undercroft.monitoring._tracking._ports import Redact
from undercroft.monitoring._tracking._sample import ErrorSample, sample_of

_MAX_USERS = 100


class ErrorGroup(msgspec.Struct, frozen=True, kw_only=True):
    """One error and how often it happened."""

    fingerprint: str
    type: str
    """As it is imported: `KeyError`, `shop.errors.PaymentError`."""
    category: ErrorCategory
    place: str
    """The innermost function of the application: `shop.pay:charge`. Empty for what was never raised."""
    count: int
    first_at: datetime
    last_at: datetime
    users_count: int
    """How many different users met it; who is not kept. See `has_more_users`."""
    has_more_users: bool
    """Whether `users_count`, which stops at 100, is to be read as "at least"."""
    sample: ErrorSample
    """The last occurrence."""
    traits: frozenset[str]
    """What `similarity` compares: types and places."""


class Hotspot(msgspec.Struct, frozen=True, kw_only=True):
    """A function of the application that errors come from."""

    place: str
    count: int
    """Occurrences, of all its groups together."""
    fingerprints: tuple[str, ...]
    """Its groups, the most frequent first."""


class ErrorSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What a tracker knows at one moment. Has a JSON form."""

    captured_count: int
    """Exceptions captured since the tracker was made or cleared, those of forgotten groups included."""
    forgotten_count: int
    """Groups that were forgotten to make room for others."""
    groups: tuple[ErrorGroup, ...]
    """The most recent first."""


class _Counts(msgspec.Struct):
    type: str
    category: ErrorCategory
    place: str
    traits: frozenset[str]
    first_at: float
    last_at: float = 0.0
    count: int = 0
    users: set[int] = set()
    has_more_users: bool = False
    sample: ErrorSample | None = None


class ErrorTracker:
    """Groups exceptions by fingerprint and counts them. Lives in one process, as long as it; needs no closing.

    Bounded: at most `max_groups`, of which the one not seen for longest is forgotten first; one sample of each. May be
    used from any thread. Each exception is counted in the metric `undercroft_errors_captured_total`, by category.

    Args:
        redact: Hides secrets in messages and contexts before they are kept, `undercroft.logging.redact_pii` for one.
            If it raises, nothing of that occurrence is kept but its type and place.
        in_app: The names of the application's packages; see `fingerprint_of`.

    Raises:
        TrackingError: `max_groups` is less than one.
    """

    def __init__(
        self, *, redact: Redact, in_app: Sequence[str] = (), max_groups: int = 500, clock: Clock | None = None
    ) -> None:
        if max_groups < 1:
            raise TrackingError(f"max_groups {max_groups!r} leaves no room for any error", hint="give at least 1")
        self._redact = redact
        self._in_app = InApp(in_app)
        self._max_groups = max_groups
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._groups: OrderedDict[str, _Counts] = OrderedDict()
        self._captured_count = self._forgotten_count = 0
        self._captured = Counter(
            "undercroft_errors_captured_total", help="Exceptions that error trackers took.", labels=("category",)
        )

    def capture_exception(
        self, exc: BaseException, *, context: Mapping[str, object] | None = None, user: str | None = None
    ) -> str:
        """Count `exc`, keep it as its group's sample, and return the group's fingerprint.

        Never raises because of `exc`, `context` or `redact`.

        Args:
            context: What was being done, for the sample: `{"order_id": 7}`. Plain data, at most 4 KiB of JSON.
            user: Whom it happened to; counted, not kept.
        """
        leaf, *others = leaves_of(exc)
        frames = frames_of(leaf, self._in_app)
        error = exc if others else leaf  # a group of one is that one
        fingerprint = fingerprint_in(error, self._in_app) if others else fingerprint_from(error, frames)
        now = self._clock.time()
        sample = sample_of(leaf, frames, context=context, redact=self._redact, at=utc(now))
        with self._lock:
            counts = self._groups.get(fingerprint) or self._new(fingerprint, error, frames, now)
            self._groups.move_to_end(fingerprint)
            self._captured_count += 1
            counts.count += 1
            counts.last_at, counts.sample = now, sample
            if user:
                _add_user(counts, user)
        self._captured.increment(category=counts.category.value)
        return fingerprint

    def list_groups(self, limit: int = 100) -> list[ErrorGroup]:
        """Return the groups, the most recent first."""
        with self._lock:
            newest = [*reversed(self._groups.items())][: max(0, limit)]
            return [_group(fingerprint, counts) for fingerprint, counts in newest]

    def get_group(self, fingerprint: str) -> ErrorGroup | None:
        """Return one group; `None` when there is none, or none any more."""
        with self._lock:
            counts = self._groups.get(fingerprint)
            return None if counts is None else _group(fingerprint, counts)

    def hotspots(self, limit: int = 10) -> list[Hotspot]:
        """Return the functions of the application that most errors come from, the worst first."""
        by_place: dict[str, list[tuple[int, str]]] = {}
        with self._lock:
            for fingerprint, counts in self._groups.items():
                by_place.setdefault(counts.place, []).append((counts.count, fingerprint))
        spots = [
            Hotspot(
                place=place,
                count=sum(count for count, _ in found),
                fingerprints=tuple(fingerprint for _, fingerprint in sorted(found, reverse=True)),
            )
            for place, found in by_place.items()
            if place
        ]
        return sorted(spots, key=lambda spot: (-spot.count, spot.place))[: max(0, limit)]

    def snapshot(self, limit: int = 100) -> ErrorSnapshot:
        """Return what is known now."""
        groups = tuple(self.list_groups(limit))
        with self._lock:
            return ErrorSnapshot(
                captured_count=self._captured_count, forgotten_count=self._forgotten_count, groups=groups
            )

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._groups.clear()
            self._captured_count = self._forgotten_count = 0

    def _new(self, fingerprint: str, exc: BaseException, frames: Sequence[Frame], now: float) -> _Counts:
        if len(self._groups) >= self._max_groups:
            self._groups.popitem(last=False)
            self._forgotten_count += 1
        counts = self._groups[fingerprint] = _Counts(
            type=type_name(exc),
            category=categorize_error(exc),
            place=_place(frames),
            traits=traits_of(exc, self._in_app),
            first_at=now,
        )
        return counts


def similarity(a: BaseException | ErrorGroup, b: BaseException | ErrorGroup, *, in_app: Sequence[str] = ()) -> float:
    """Return how alike two errors are, from 0 (nothing in common) to 1 (same types, same functions, in any order).

    Twice the number of types and functions that both have, of those that the two have together. From about 0.6 on, two
    groups are worth reading side by side: the same bug met on two ways.

    Args:
        in_app: For exceptions, the names of the application's packages; see `fingerprint_of`.
    """
    check = InApp(in_app)
    first, second = (error.traits if isinstance(error, ErrorGroup) else traits_of(error, check) for error in (a, b))
    return share(first, second)


def _place(frames: Sequence[Frame]) -> str:
    own = next((frame.place for frame in frames if frame.is_in_app), None)
    return own or (frames[0].place if frames else "")


def _add_user(counts: _Counts, user: str) -> None:
    name = hash(user)  # salted for each process: who it was cannot be told from it
    if name in counts.users:
        return
    if len(counts.users) < _MAX_USERS:
        counts.users.add(name)
    else:
        counts.has_more_users = True


def _group(fingerprint: str, counts: _Counts) -> ErrorGroup:
    assert counts.sample is not None, "a group is made for an occurrence"
    return ErrorGroup(
        fingerprint=fingerprint,
        type=counts.type,
        category=counts.category,
        place=counts.place,
        count=counts.count,
        first_at=utc(counts.first_at),
        last_at=utc(counts.last_at),
        users_count=len(counts.users),
        has_more_users=counts.has_more_users,
        sample=counts.sample,
        traits=counts.traits,
    )
