"""A cache that keeps nothing: `off://`. Whatever uses it computes each time."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Self

import anyio.lowlevel
import msgspec

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.url import Url, UrlError
from undercroft.cache._protocol import Changes, Item, KeyPage, Read, Statistics


class _NoOptions(msgspec.Struct, frozen=True):
    """`off://` has no options."""


class OffCache:
    """A `CacheBackend` that forgets at once, for tests and for finding out whether a cache is to blame."""

    name = "off"
    is_local = True

    def __init__(self, clock: Clock | None = None) -> None:
        self.time = (clock or SystemClock()).time

    @classmethod
    def from_url(cls, url: Url, *, what: str = "cache", clock: Clock | None = None) -> Self:
        """Make the backend of `off://`."""
        if url.host or url.path.strip("/"):
            raise UrlError(f"{what}: off:// takes no host and no path", hint="write off://")
        url.options_as(_NoOptions, what=what)
        return cls(clock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """There is nothing to close."""

    async def ping(self) -> None:
        """Return at once."""
        await anyio.lowlevel.checkpoint()

    async def get(self, space: str, key: str) -> bytes | None:  # noqa: ARG002 - nothing is there
        return None

    async def read(self, space: str, keys: Sequence[str], tags: Sequence[str] = ()) -> Read:  # noqa: ARG002
        return Read((None,) * len(keys), (None,) * len(tags))

    async def write(self, space: str, items: Sequence[Item]) -> None:
        """Forget them."""

    async def delete(self, space: str, keys: Sequence[str]) -> int:  # noqa: ARG002 - nothing is there
        return 0

    async def clear(self, space: str, *, prefix: str = "") -> int:  # noqa: ARG002 - nothing is there
        return 0

    async def keys(self, space: str, *, prefix: str = "", limit: int = 100, cursor: str | None = None) -> KeyPage:  # noqa: ARG002
        return KeyPage((), None)

    async def statistics(self, space: str) -> Statistics:  # noqa: ARG002 - nothing is there
        return Statistics(entries=0, size_bytes=0)

    async def ensure_tags(self, space: str, tags: Sequence[str], *, ttl_s: float | None) -> tuple[bytes, ...]:  # noqa: ARG002
        return tuple([secrets.token_hex(12).encode() for _ in tags])

    async def invalidate_tags(self, space: str, tags: Sequence[str]) -> None:
        """No entry has one."""

    async def take_lease(self, space: str, key: str, token: str, *, ttl_s: float) -> bool:  # noqa: ARG002
        return True

    async def renew_lease(self, space: str, key: str, token: str, *, ttl_s: float) -> bool:  # noqa: ARG002
        return True

    async def write_leased(self, space: str, item: Item, token: str) -> bool:  # noqa: ARG002
        return True

    async def end_lease(self, space: str, key: str, token: str) -> None:
        """Everybody has it."""

    async def wait_for_lease(self, space: str, key: str, *, timeout_s: float) -> None:
        """Nobody holds it."""

    def changes(self) -> Changes | None:
        return None
