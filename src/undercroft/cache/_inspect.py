"""What is kept under a key, for people who look into a cache: what it is, how large and how old, without its type."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from undercroft._core.clock import utc
from undercroft.cache._envelope import FORMAT, MISFITS, Envelope
from undercroft.cache._facade import Cache
from undercroft.cache._look import judged, versions_of

JsonType = Literal["null", "boolean", "number", "string", "array", "object"]
_BY_FIRST: dict[int, JsonType] = {
    ord("n"): "null",
    ord("t"): "boolean",
    ord("f"): "boolean",
    ord('"'): "string",
    ord("["): "array",
    ord("{"): "object",
}
_decoder = msgspec.json.Decoder(Envelope[msgspec.Raw])


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept under a key."""

    key: str
    size_bytes: int
    """As it is stored, with what is known of it."""
    problem: str | None = None
    """Why nobody can read it; then the other fields are empty."""
    type: JsonType | None = None
    """Of its JSON."""
    version: int | None = None
    written_at: datetime | None = None
    """By the store's clock."""
    fresh_until: datetime | None = None
    """`None`: for ever."""
    is_fresh: bool = False
    """Whether a `get` of the right type and version would return it now."""
    cost_s: float | None = None
    """How long it took to compute; `None` for what was set."""
    tags: tuple[str, ...] = ()
    json: bytes = b""
    """The value, which may be anybody's secret."""


async def inspect(cache: Cache[Any], key: str) -> Entry | None:
    """Return what is kept under `key`, of whatever type and version it is; `None` when nothing is.

    Counts neither a hit nor a miss.

    Raises:
        CacheUnavailableError: The store does not answer.
    """
    store, space, full = cache._shared.real, cache._space, cache._prefix + key  # noqa: SLF001 - of one package
    (stored,) = (await store.insist(lambda: store.backend.read(space, (full,)))).values
    if stored is None:
        return None
    try:
        envelope = _decoder.decode(stored)
    except MISFITS:
        return Entry(key=key, size_bytes=len(stored), problem="it is damaged")
    if envelope.format != FORMAT:
        return Entry(key=key, size_bytes=len(stored), problem=f"it has format {envelope.format}, of another release")
    tags = tuple(envelope.tags or ())
    versions = (await store.insist(lambda: store.backend.read(space, (), tags))).versions if tags else ()
    json, fresh_for_s = bytes(envelope.data), envelope.fresh_for_s
    return Entry(
        key=key,
        size_bytes=len(stored),
        type=_BY_FIRST.get(json[0], "number"),
        version=envelope.version,
        written_at=utc(envelope.written_at),
        fresh_until=None if fresh_for_s is None else utc(envelope.written_at + fresh_for_s),
        is_fresh=judged(envelope, versions_of(tags, versions), store.time()).is_fresh,
        cost_s=envelope.cost_s,
        tags=tags,
        json=json,
    )
