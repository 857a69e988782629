"""Audit entries in this process, for tests. They end with it."""

from __future__ import annotations

from typing import Self

import msgspec

from undercroft._core.errors import NotOpenError
from undercroft._core.url import Url
from undercroft.monitoring._audit._chain import Body
from undercroft.monitoring._audit._protocol import TEXT_FIELDS, AuditMark, AuditQuery, Seal, Sealed


class MemoryOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of a `memory://` URL: none."""


class MemoryAuditStore:
    """A list. What was recorded is still there when it is opened again."""

    name = "memory"

    def __init__(self) -> None:
        self._entries: list[Sealed] = []
        self._is_open = False

    @classmethod
    def from_url(cls, url: Url, *, what: str = "URL") -> Self:
        """Return the store of `memory://`.

        Raises:
            UrlError: It has an option.
        """
        url.options_as(MemoryOptions, what=what)
        return cls()

    async def __aenter__(self) -> Self:
        self._is_open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_open = False

    async def ping(self) -> None:
        self._require_open()

    async def append(self, seal: Seal) -> Sealed:
        sealed = seal(await self.last())
        self._entries.append(sealed)
        return sealed

    async def last(self) -> AuditMark:
        self._require_open()
        if not self._entries:
            return AuditMark()
        return AuditMark(sequence=self._entries[-1].sequence, hash=self._entries[-1].hash)

    async def read(self, *, after: int, limit: int) -> list[Sealed]:
        self._require_open()
        return [entry for entry in self._entries if entry.sequence > after][:limit]

    async def find(self, query: AuditQuery) -> list[Sealed]:
        self._require_open()
        return [entry for entry in reversed(self._entries) if _matches(entry, query)][: query.limit]

    def _require_open(self) -> None:
        if not self._is_open:
            raise NotOpenError("the audit log is not open", hint="use it inside `async with`")


def _matches(entry: Sealed, query: AuditQuery) -> bool:
    body = msgspec.json.decode(entry.body, type=Body)
    return (
        all(getattr(query, name) in (None, getattr(body, name)) for name in TEXT_FIELDS)
        and (query.since_us is None or body.at_us >= query.since_us)
        and (query.until_us is None or body.at_us < query.until_us)
        and (query.older_than is None or entry.sequence < query.older_than)
    )
