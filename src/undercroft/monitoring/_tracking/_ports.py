"""What tracking needs and does not build: how to hide secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

Redact: TypeAlias = Callable[[Mapping[str, object]], Mapping[str, object]]
"""Returns a copy of plain data (what JSON has) in which secrets are hidden; never changes what it is given.

`undercroft.logging.redact_pii` is one.
"""
