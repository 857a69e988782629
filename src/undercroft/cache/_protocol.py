"""What a cache backend promises: all that a backend's author must read.

A backend keeps bytes under keys for a time, and knows nothing of what the bytes are: the facade writes an envelope
around each value (`_envelope`), counts, sets deadlines and decides which way a failure goes. Keys live in *spaces*, the
namespaces of caches; nothing that is done in one space touches another, nor anything else that the store holds.

**Leases.** Who computes a missing value takes the lease of its key first, so that one computes and the others wait. A
lease is also what makes a late write harmless: `write`, `delete` and `clear` end the leases of the keys they touch, and
`write_leased` stores nothing when its lease has ended. So a value that was computed from what is no longer true is not
stored over its invalidation (Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013, section 3.2.1).

**Tags.** A tag has a version, an opaque token that `invalidate_tags` replaces. An entry carries the versions that its
tags had *before* its value was computed; whoever reads it compares them with the versions of now. A version that is not
there (never made, expired, evicted) equals none, so that a loss makes entries invalid and never valid.

**Names.** The facade has checked them: a space is 1 to 64 of `A-Z a-z 0-9 . _ -`; a key is text of 1 to 600 characters,
a tag of 1 to 256, any that UTF-8 has.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import msgspec


@dataclass(frozen=True, slots=True)
class Item:
    """What is to be kept under one key."""

    key: str
    data: bytes
    ttl_s: float | None
    """From now; `None` keeps it until somebody removes it, or the store needs the room."""


class Read(msgspec.Struct, frozen=True):
    """What was found, in one step."""

    values: tuple[bytes | None, ...]
    """In the order of the keys; `None` for one that is not there."""
    versions: tuple[bytes | None, ...] = ()
    """Of the tags, in their order, each up to 64 ASCII characters; `None` for one that has none."""


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """How much a space holds, entries only."""

    entries: int
    size_bytes: int | None
    """Of the data of all entries; `None` where the store cannot tell without reading them."""


class KeyPage(msgspec.Struct, frozen=True):
    """Some keys of a space, in no order, and where to go on."""

    keys: tuple[str, ...]
    cursor: str | None
    """`None`: that was all. A page may be empty and have one."""


class CacheBackend(Protocol):
    """Keeps bytes. Opened by `async with`; used from one event loop; every method is atomic for each key, and raises
    `CacheUnavailableError` when the store does not answer, in which case a write's outcome is unknown. Every write here
    may be repeated after that. Cancellation: likewise."""

    @property
    def name(self) -> str:
        """Short name: `memory`, `sqlite`, `redis`."""

    @property
    def is_local(self) -> bool:
        """Whether its calls end without waiting for anything, so that they need no deadline."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(self, *exc_info: object) -> None: ...

    async def ping(self) -> None:
        """Return when the store answers."""

    def time(self) -> float:
        """Return the instant, epoch seconds, by the store's clock as well as it is known here, without I/O.

        All processes that use one store see the same instant, give or take a few milliseconds.
        """

    # --- Entries ----------------------------------------------------------------------------------------------------

    async def get(self, space: str, key: str) -> bytes | None:
        """Return what is kept under a key. The short way: what `read` of one key and no tags would return."""

    async def read(self, space: str, keys: Sequence[str], tags: Sequence[str] = ()) -> Read:
        """Return what is kept under these keys, and the versions of these tags. On one server in one round trip."""

    async def write(self, space: str, items: Sequence[Item]) -> None:
        """Keep these, whatever was there, and end the leases of their keys. Atomic for each item."""

    async def delete(self, space: str, keys: Sequence[str]) -> int:
        """Forget these keys, end their leases, and return how many there were."""

    async def clear(self, space: str, *, prefix: str = "") -> int:
        """Forget every key of this space that begins with `prefix`, end their leases, and return how many there were.

        Not atomic: a key that is written meanwhile may stay. Tags keep their versions.
        """

    async def keys(self, space: str, *, prefix: str = "", limit: int = 100, cursor: str | None = None) -> KeyPage:
        """Return about `limit` keys that begin with `prefix`, each at least once over all pages."""

    async def statistics(self, space: str) -> Statistics:
        """Count what a space holds. May look at every entry of it."""

    # --- Tags -------------------------------------------------------------------------------------------------------

    async def ensure_tags(self, space: str, tags: Sequence[str], *, ttl_s: float | None) -> tuple[bytes, ...]:
        """Return the versions of these tags, made where there is none, and keep them for at least `ttl_s` from now.

        A version is never used twice, also after the store has lost all that it knew.
        """

    async def invalidate_tags(self, space: str, tags: Sequence[str]) -> None:
        """Replace the versions of these tags, so that every entry that carries one of the old ones is invalid."""

    # --- Leases -----------------------------------------------------------------------------------------------------

    async def take_lease(self, space: str, key: str, token: str, *, ttl_s: float) -> bool:
        """Take the lease of a key until `ttl_s` from now, unless somebody else holds it; tell whether it was taken."""

    async def renew_lease(self, space: str, key: str, token: str, *, ttl_s: float) -> bool:
        """Push the end of a lease to `ttl_s` from now; false when `token` does not have it any more."""

    async def write_leased(self, space: str, item: Item, token: str) -> bool:
        """Keep `item` and end the lease, in one step; false, and nothing happens, when `token` does not have it."""

    async def end_lease(self, space: str, key: str, token: str) -> None:
        """Give a lease back without writing. Harmless when `token` does not have it."""

    async def wait_for_lease(self, space: str, key: str, *, timeout_s: float) -> None:
        """Return when the lease of a key may have ended, or after `timeout_s`. May return early."""

    # --- Coherence --------------------------------------------------------------------------------------------------

    def changes(self) -> Changes | None:
        """Return a listener to what changes in this store, for a tier in front of it; `None`: it tells of nothing."""


class Changes(Protocol):
    """Tells of every change of a store, by any process. Opened by `async with` while its backend is open; for one tier.

    While `is_listening` is false, changes may be late or missed, and nothing that is kept in front of the store may be
    used. Before it becomes true again after changes were missed, `tell` is called with nothing.
    """

    @property
    def is_listening(self) -> bool:
        """Whether every change until about a second ago has been told."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(self, *exc_info: object) -> None: ...

    def listen(self, tell: Tell) -> None:
        """Have `tell` called in the event loop, once for each change, and with nothing when changes were missed."""


class Tell(Protocol):
    """Who is told of changes."""

    def __call__(self, space: str | None, keys: Sequence[str], tags: Sequence[str]) -> None:
        """Forget these keys and all that has these tags; with neither, all of the space; without a space, all."""


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, and for how long it may be kept in front of the store."""

    values: tuple[bytes | None, ...]
    left_s: tuple[float | None, ...]
    """Of the values; `None` for one that does not expire."""
    versions: tuple[bytes | None, ...]


class NotNow(enum.Enum):
    """The type of `NOT_NOW`."""

    NOT_NOW = "NOT_NOW"


NOT_NOW: Final = NotNow.NOT_NOW
"""`get_now` does not know without waiting."""


class ReadsNow(Protocol):
    """What a backend has besides, if it nearly always knows at once what it keeps: then its reads need no deadline,
    which would cost more than they do."""

    def get_now(self, space: str, key: str) -> bytes | Literal[NotNow.NOT_NOW] | None:
        """As `get`, or `NOT_NOW` when that would wait for anything."""


class TellingBackend(CacheBackend, Protocol):
    """A backend that a tier can stand in front of: its `changes` are not `None`."""

    async def fetch(self, space: str, keys: Sequence[str], tags: Sequence[str]) -> Fetched:
        """As `read`, and tell how long each value has left."""


Versions = Mapping[str, bytes]
"""Tags and the versions that they had."""
