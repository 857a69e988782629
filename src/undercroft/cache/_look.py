"""Looking at what is stored: there or not, fresh, stale, or invalid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from undercroft.cache._counts import MissReason
from undercroft.cache._envelope import Codec, Envelope
from undercroft.cache._store import Store


class Found(NamedTuple):
    """What is stored under a key, as it is of use now."""

    envelope: Envelope[Any] | None
    """A value that nobody has invalidated."""
    reason: MissReason
    """Why there is none, or `expired` if it is not fresh."""
    past_fresh_s: float = 0.0
    """For how long it is not fresh any more; 0 or less: it is."""

    @property
    def is_fresh(self) -> bool:
        """Whether it can be answered with, without more."""
        return self.envelope is not None and self.past_fresh_s < 0

    def is_stale_within(self, window_s: float) -> bool:
        """Tell whether it is not fresh, and not for longer than that."""
        return self.envelope is not None and 0 <= self.past_fresh_s < window_s


class Stored(NamedTuple):
    """What a look at the store brought."""

    data: bytes | None
    versions: Mapping[str, str | None]
    """Of the tags that were asked for."""


async def look(store: Store, space: str, key: str, codec: Codec[Any], tags: Sequence[str] = ()) -> Found:
    """Look at one key. With the tags that its value is thought to have, this is one round trip.

    Raises:
        CacheUnavailableError: The store does not answer.
    """
    return await understood(store, space, await fetch(store, space, key, tags), codec)


async def fetch(store: Store, space: str, key: str, tags: Sequence[str]) -> Stored:
    """Read a key and some tags. Fails as `look` does."""
    if not tags:
        return Stored(await store.get(space, key), {})
    read = await store.read(space, (key,), tags)
    return Stored(read.values[0], versions_of(tags, read.versions))


async def understood(store: Store, space: str, stored: Stored, codec: Codec[Any]) -> Found:
    """Say of what use that is; tags that nobody thought of need a second look. Fails as `look` does."""
    opened, versions = codec.open(stored.data), stored.versions
    if not isinstance(opened, str) and opened.tags and not opened.tags.keys() <= versions.keys():
        of_entry = tuple(opened.tags)
        versions = versions_of(of_entry, (await store.read(space, (), of_entry)).versions)
    return judged(opened, versions, store.time())


def judged(opened: Envelope[Any] | MissReason, versions: Mapping[str, str | None] | None, now: float) -> Found:
    """Say of what use an envelope is.

    Args:
        versions: Those that its tags have now; `None` when the store does not tell.
    """
    if isinstance(opened, str):
        return Found(None, opened)
    if opened.tags and versions is None:
        return Found(None, "unavailable")
    if not opened.has_versions(versions or {}):
        return Found(None, "invalidated")
    if opened.fresh_for_s is None:
        return Found(opened, "expired", -1.0)
    return Found(opened, "expired", now - opened.written_at - opened.fresh_for_s)


def versions_of(tags: Sequence[str], versions: Sequence[bytes | None]) -> dict[str, str | None]:
    """Return tags with their versions, as envelopes have them."""
    return {
        tag: None if version is None else version.decode("latin-1") for tag, version in zip(tags, versions, strict=True)
    }
