"""Options of a cache's `sqlite:///` URL."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from undercroft._core.sqlite import SqliteOptions

MIB = 1 << 20


class SqliteCacheOptions(SqliteOptions, frozen=True, kw_only=True):
    """Those of every SQLite file, with what suits a cache."""

    synchronous: Literal["full", "normal"] = "normal"
    """What the last moments before a power cut wrote may be lost: it is a cache."""
    poll_s: Annotated[float, msgspec.Meta(ge=0.001, le=60)] = 0.05
    """The longest pause between two looks at a lease that another process holds, seconds, from 0.001 to 60."""
    max_bytes: Annotated[int, msgspec.Meta(ge=MIB)] = 256 * MIB
    """How large the contents of the file may grow, its indexes included, from 1 MiB."""
