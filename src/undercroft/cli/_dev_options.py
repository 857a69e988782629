"""What `undercroft dev` was asked for, in a form that goes to the process that serves."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Self

GRACE_S = 2.0
"""How long running jobs and requests may finish on a restart; jobs that are given back run again at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DevOptions:
    """Immutable; travels as JSON."""

    app: str
    host: str
    port: int
    concurrency: int
    has_reload: bool
    debug: bool
    is_restart: bool = False
    """A child served before this one, and said where everything is."""

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        """Write it as one line."""
        return json.dumps(asdict(self))
