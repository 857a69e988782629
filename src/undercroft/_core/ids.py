"""Identifiers that sort by time of creation.

Layout: a ULID (github.com/ulid/spec): 48 bits of Unix milliseconds and 80 random bits, written as 26 characters of
Crockford's base 32. Two ids from one `IdSource` in one millisecond still sort in the order they were made, because
the random part is counted up.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable

from undercroft._core.clock import Clock, SystemClock

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_BITS = 80
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_TAIL_BITS = 20
_HEAD_SHIFTS = tuple(range(120, 19, -10))
_ID = re.compile(rf"[0-7][{_ALPHABET}]{{25}}")


class IdSource:
    """Makes ids. Safe to call from several threads; lives as long as whoever needs ids in order."""

    def __init__(self, clock: Clock | None = None, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._clock = clock or SystemClock()
        self._random_bytes = random_bytes
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._high, self._head = -1, ""
        self._last = -1  # before every id, the epoch's first millisecond included

    def __call__(self) -> str:
        """Return a new id, larger than every id this source returned before, even when the clock steps back."""
        milliseconds = int(self._clock.time() * 1000)
        with self._lock:
            if self._pid != os.getpid():  # forked: counting on from the parent's last would meet its next
                self._pid, self._last = os.getpid(), -1
            if self._last >> _RANDOM_BITS >= milliseconds:
                self._last += 1
            else:
                random_bits = int.from_bytes(self._random_bytes(_RANDOM_BITS // 8))
                self._last = (milliseconds << _RANDOM_BITS) | random_bits
            value = self._last
            if value >> _TAIL_BITS != self._high:
                self._high = value >> _TAIL_BITS
                self._head = "".join([_PAIRS[(value >> shift) & 1023] for shift in _HEAD_SHIFTS])
            # Ids are made for every job, many in a millisecond: only their last characters differ.
            return self._head + _PAIRS[(value >> 10) & 1023] + _PAIRS[value & 1023]


def is_id(text: str) -> bool:
    """Tell whether `text` has the form of an id."""
    return _ID.fullmatch(text) is not None
