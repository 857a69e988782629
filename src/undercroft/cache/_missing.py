"""What stands for nothing, where `None` is a value."""

from __future__ import annotations

import enum
from typing import Final


class Missing(enum.Enum):
    """The type of `MISSING`."""

    MISSING = "MISSING"

    def __repr__(self) -> str:
        return self.value

    def __bool__(self) -> bool:
        return False


MISSING: Final = Missing.MISSING
"""`get(key, MISSING)` returns it when there is nothing, and `None` when that is the value."""
