"""The keys that begin with a prefix, as a range that the index finds.

Not by LIKE, which ignores case and has wildcards.
"""

from __future__ import annotations

_LAST = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)
_BEHIND_ALL_TEXT = b""
"""SQLite sorts every blob behind every text."""


def end_of(prefix: str) -> str | bytes:
    """Return what sorts behind every text that begins with `prefix`, and before every other that follows those."""
    while prefix:
        point = ord(prefix[-1]) + 1
        if point in _SURROGATES:
            point = _SURROGATES.stop
        if point <= _LAST:
            return prefix[:-1] + chr(point)
        prefix = prefix[:-1]
    return _BEHIND_ALL_TEXT


def after(key: str) -> str:
    """Return the first text behind `key`."""
    return key + "\0"
