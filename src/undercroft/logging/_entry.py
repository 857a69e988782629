"""What one line is made of, taken when and where it was logged.

It may be written much later, in another thread, and by then the context is another one and the caller's objects have
changed. So an entry holds nothing that can change: simple values as they are, everything else as plain data.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import msgspec

from undercroft._core.context import Correlation
from undercroft.logging._plain import Plain

# What may wait for the writer as it is. A text longer than this is cut, and so redacted, where it was logged.
_MAX_TEXT = 1_024
_MAX_FIELDS = 32
_LEAST, _MOST = -(2**63), 2**64 - 1


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line to be. Immutable, and so are its fields' values."""

    created: float
    """Seconds since the Unix epoch."""
    level: int
    word: str
    """The level as a line calls it."""
    logger: str
    module: str | None
    message: str
    names: Correlation
    fields: Mapping[str, Plain]
    error: Plain = None
    is_plain: bool = False
    """Redacted, cut and valid as UTF-8 already. Otherwise that is done when the line is written: all values are simple
    then, and short."""


def is_simple(message: object, fields: Mapping[str, Any]) -> bool:
    """Tell whether an entry can be made of these as they are.

    So it is if they are short texts, numbers, booleans or `None`, of just these types, and not many.
    """
    if type(message) is not str or len(message) > _MAX_TEXT or len(fields) > _MAX_FIELDS:
        return False
    for value in fields.values():
        kind = type(value)
        if kind is str:
            if len(value) > _MAX_TEXT:
                return False
        elif kind is int:
            if not _LEAST <= value <= _MOST:
                return False
        elif kind is float:
            if not isfinite(value):
                return False
        elif value is not None and kind is not bool:
            return False
    return True
