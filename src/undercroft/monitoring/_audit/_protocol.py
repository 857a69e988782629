"""What a store of audit entries promises: all that an author of one must read.

A store keeps texts in order and adds to their end. It can neither change nor remove one, and knows nothing of what they
mean but the fields of `AuditQuery`. Opened by `async with`, used from one event loop; every method raises
`AuditUnavailableError` when the store does not answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import msgspec


class AuditMark(msgspec.Struct, frozen=True, kw_only=True):
    """A place in the log: an entry's number, and its hash, which depends on every entry up to it. Has a JSON form."""

    sequence: int = 0
    """From 1, without gaps. 0 is before the first."""
    hash: str = "0" * 64


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as it is stored."""

    sequence: int
    body: str
    """The entry as a JSON object, `_chain.Body`; the fields of `AuditQuery` are looked for in it."""
    hash: str


Seal: TypeAlias = Callable[[AuditMark], Sealed]
"""Makes the next entry for the mark of the last one. Has no effects; may be called more than once."""


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries are wanted. `None` does not matter; texts must be equal."""

    action: str | None = None
    resource: str | None = None
    actor: str | None = None
    tenant: str | None = None
    outcome: str | None = None
    request_id: str | None = None
    since_us: int | None = None
    """Recorded at this instant or later, microseconds since the Unix epoch."""
    until_us: int | None = None
    """Recorded before this instant."""
    older_than: int | None = None
    """Entries before this sequence number."""
    limit: int = 50


TEXT_FIELDS = ("action", "resource", "actor", "tenant", "outcome", "request_id")


class AuditStore(Protocol):
    """Keeps the entries."""

    @property
    def name(self) -> str:
        """Short name of the store: `sqlite`, `memory`."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(self, *exc_info: object) -> None: ...

    async def ping(self) -> None:
        """Return when the store answers."""

    async def append(self, seal: Seal) -> Sealed:
        """Store what `seal` makes for the mark of the last entry, and return it once it is durable.

        No other entry, of whichever process, comes between the reading of that mark and the storing.
        Cancellation: the entry may be stored all the same.
        """

    async def last(self) -> AuditMark:
        """Return the mark of the last entry; `AuditMark()` when there is none."""

    async def read(self, *, after: int, limit: int) -> list[Sealed]:
        """Return up to `limit` entries with a larger sequence number than `after`, in order."""

    async def find(self, query: AuditQuery) -> list[Sealed]:
        """Return the entries that are wanted, the newest first."""
