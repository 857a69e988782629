"""Audit entries in one SQLite file, for one machine and any number of its processes.

Every entry is on the disk when `append` returns (`synchronous=FULL`, which cannot be switched off here); entries that
are appended at the same moment share one commit. Triggers refuse to change or remove an entry; they stop mistakes, and
the chain shows what they did not stop.

URL: `sqlite:///var/audit.db?busy_timeout_s=5`
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Annotated, Self

import msgspec

from undercroft._core.sqlite import SqliteOptions, SqliteStore, StoreUnavailableError
from undercroft._core.url import Url
from undercroft.monitoring._audit._errors import AuditUnavailableError
from undercroft.monitoring._audit._protocol import TEXT_FIELDS, AuditMark, AuditQuery, Seal, Sealed

_LAST = "SELECT sequence, hash FROM entries ORDER BY sequence DESC LIMIT 1"
_APPEND = "INSERT INTO entries (sequence, body, hash) VALUES (?, ?, ?)"
_READ = "SELECT sequence, body, hash FROM entries WHERE sequence > ? ORDER BY sequence LIMIT ?"
_FIND = "SELECT sequence, body, hash FROM entries WHERE {conditions} ORDER BY sequence DESC LIMIT :limit"
_CONDITIONS = {
    **{name: f"{name} = :{name}" for name in TEXT_FIELDS},
    "since_us": "at_us >= :since_us",
    "until_us": "at_us < :until_us",
    "older_than": "sequence < :older_than",
}
_POLL_S = 1.0
"""Nobody waits for another process's entries."""


class AuditFileOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the audit log's `sqlite:///` URL."""

    busy_timeout_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 5.0
    """How long an entry waits for another process's, seconds, up to an hour."""


class SqliteAuditStore:
    """The file `path`; its directory is made when it is missing."""

    name = "sqlite"

    def __init__(self, path: Path, *, options: AuditFileOptions | None = None) -> None:
        self.path = path
        busy_timeout_s = (options or AuditFileOptions()).busy_timeout_s
        self._store = SqliteStore(
            path,
            migrations=(resources.files(__package__).joinpath("schema_1.sql").read_text(),),
            options=SqliteOptions(synchronous="full", busy_timeout_s=busy_timeout_s, poll_s=_POLL_S),
        )

    @classmethod
    def from_url(cls, url: Url, *, what: str = "URL") -> Self:
        """Return the store of `sqlite:///relative/file` or `sqlite:////absolute/file`.

        Raises:
            UrlError: No path, or an option that there is not.
        """
        return cls(Path(url.file_path(what=what)), options=url.options_as(AuditFileOptions, what=what))

    async def __aenter__(self) -> Self:
        with _translated():
            await self._store.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._store.__aexit__(*exc_info)

    async def ping(self) -> None:
        await self.last()

    async def append(self, seal: Seal) -> Sealed:
        def run(db: sqlite3.Connection) -> Sealed:
            sealed = seal(_last(db))
            db.execute(_APPEND, (sealed.sequence, sealed.body, sealed.hash))
            return sealed

        with _translated():
            return await self._store.write(run)

    async def last(self) -> AuditMark:
        with _translated():
            return await self._store.read(_last)

    async def read(self, *, after: int, limit: int) -> list[Sealed]:
        with _translated():
            return await self._store.read(lambda db: _sealed(db.execute(_READ, (after, limit))))

    async def find(self, query: AuditQuery) -> list[Sealed]:
        wanted = {name: value for name, value in msgspec.structs.asdict(query).items() if value is not None}
        conditions = " AND ".join(text for name, text in _CONDITIONS.items() if name in wanted) or "1"
        with _translated():
            return await self._store.read(lambda db: _sealed(db.execute(_FIND.format(conditions=conditions), wanted)))


def _last(db: sqlite3.Connection) -> AuditMark:
    row = db.execute(_LAST).fetchone()
    return AuditMark() if row is None else AuditMark(sequence=row[0], hash=row[1])


def _sealed(rows: sqlite3.Cursor) -> list[Sealed]:
    return [Sealed(sequence=sequence, body=_text(body), hash=_text(hash_)) for sequence, body, hash_ in rows.fetchall()]


def _text(value: object) -> str:
    # Whoever tampers may have stored anything; what is not a text has no hash that fits.
    return value if isinstance(value, str) else repr(value)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except StoreUnavailableError as exc:
        raise AuditUnavailableError(exc.message, hint=exc.hint) from exc
