"""A Lua script and its name at the server."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script for `RedisConnection.run_script`. Immutable; make it once, at import.

    On a cluster all keys of one call must lie in one hash slot: write what they share in braces, `{cart:7}:items`.
    """

    text: str = field(repr=False)
    sha: str = field(init=False)
    """SHA-1 of the text in lower-case hex, by which the server knows it."""

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest)
