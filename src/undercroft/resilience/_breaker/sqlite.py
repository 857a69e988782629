"""Breakers in one SQLite file, for one machine and any number of its processes.

The clock is the machine's. A breaker that is lost in a power cut is closed again, so commits do not wait for the disk
unless the URL says so.

URL: `sqlite:///var/breakers.db?synchronous=normal|full&busy_timeout_s=5`
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self

import msgspec

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.errors import ConfigError
from undercroft._core.sqlite import SqliteOptions, SqliteStore, StoreUnavailableError
from undercroft._core.url import Url
from undercroft.resilience._breaker._protocol import Stored
from undercroft.resilience._errors import BreakersUnavailableError

_READ = "SELECT data, version FROM breakers WHERE name = ?"
_READ_ALL = "SELECT name, data, version FROM breakers"
_ADD = "INSERT INTO breakers (name, version, data) VALUES (?, 1, ?) ON CONFLICT DO NOTHING"
_SWAP = "UPDATE breakers SET version = version + 1, data = ? WHERE name = ? AND version = ?"


class BreakersFileOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of the breakers' `sqlite:///` URL."""

    synchronous: Literal["full", "normal"] = "normal"
    """`full` waits for the disk with each change."""
    busy_timeout_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 5.0
    """How long a change waits for another process's, seconds; calls over a breaker give up earlier."""


class SqliteBreakers:
    """The file `path`; it and its directory are made by the first call."""

    name = "sqlite"
    is_local = False

    def __init__(self, path: Path, *, options: BreakersFileOptions | None = None, clock: Clock | None = None) -> None:
        self.path = path
        self._clock = clock or SystemClock()
        chosen = options or BreakersFileOptions()
        self._store = SqliteStore(
            path,
            migrations=(resources.files(__package__).joinpath("schema_1.sql").read_text(),),
            options=SqliteOptions(synchronous=chosen.synchronous, busy_timeout_s=chosen.busy_timeout_s),
            is_lazy=True,
        )

    @classmethod
    def from_url(cls, url: Url, *, what: str, clock: Clock | None = None) -> Self:
        """Return the store of `sqlite:///relative/file` or `sqlite:////absolute/file`.

        Raises:
            UrlError: No path, or an option that there is not.
        """
        options = url.options_as(BreakersFileOptions, what=what)
        return cls(Path(url.file_path(what=what)), options=options, clock=clock)

    async def __aenter__(self) -> Self:
        await self._store.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._store.__aexit__(*exc_info)

    async def ping(self) -> None:
        await self.read("")

    async def read(self, name: str) -> Stored:
        with _translated():
            row = await self._store.read(lambda db: db.execute(_READ, (name,)).fetchone())
        data, version = row or (None, 0)
        return Stored(data, version, self._clock.time())

    async def swap(self, name: str, data: bytes, *, version: int) -> bool:
        def run(db: sqlite3.Connection) -> bool:
            if version == 0:
                return db.execute(_ADD, (name, data)).rowcount == 1
            return db.execute(_SWAP, (data, name, version)).rowcount == 1

        with _translated():
            return await self._store.write(run)

    async def read_all(self) -> Mapping[str, Stored]:
        with _translated():
            rows = await self._store.read(lambda db: db.execute(_READ_ALL).fetchall())
        now = self._clock.time()
        return {name: Stored(data, version, now) for name, data, version in rows}


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except StoreUnavailableError as exc:
        raise BreakersUnavailableError(exc.message, hint=exc.hint) from exc
    except ConfigError as exc:  # the file cannot be opened: for a call over a breaker that is no other than being away
        raise BreakersUnavailableError(exc.message, hint=exc.hint) from exc
