"""Locks in one SQLite file, for one machine and any number of its processes. URL: `sqlite:///var/locks.db`

A lease ends by the machine's monotonic clock (CLOCK_MONOTONIC), which all its processes and containers share and which
no setting of the time moves; so a clock that is set forward by an hour ends no lease early. That clock begins anew when
the machine does, hence each row names the boot it is of (`/proc/sys/kernel/random/boot_id`), and a lease of another
boot has ended: its holder is gone. Where the system has no such id, the wall clock is used, which may be set.

A row per name that is held; one counter of tokens for all names, so that a name costs nothing when it is free. Every
call is one transaction, on the disk when it returns (`synchronous=full`, unless the URL says otherwise).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.errors import ConfigError
from undercroft._core.sqlite import SqliteOptions, SqliteStore, StoreUnavailableError
from undercroft._core.url import Url
from undercroft.resilience._locks._errors import LockUnavailableError
from undercroft.resilience._locks._protocol import Granted, Held, LockRecord

T = TypeVar("T")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SWEEP_EVERY = 1000

_FIND = "SELECT claim, owner, token, expires_at FROM locks WHERE name = ? AND boot = ? AND expires_at > ?"
_COUNT = "UPDATE fence SET token = max(token + 1, ?) WHERE id = 1 RETURNING token"
_PUT = "INSERT OR REPLACE INTO locks (name, claim, owner, token, boot, expires_at, acquired_at) VALUES (?,?,?,?,?,?,?)"
_EXTEND = "UPDATE locks SET expires_at = ? WHERE name = ? AND claim = ? AND boot = ? AND expires_at > ?"
_RELEASE = "DELETE FROM locks WHERE name = ? AND claim = ? AND boot = ? AND expires_at > ?"
_SWEEP = "DELETE FROM locks WHERE boot <> ? OR expires_at <= ?"
_RECORD = "name, owner, token, expires_at, acquired_at"
_LIST = f"""
SELECT {_RECORD} FROM locks WHERE substr(name, 1, ?) = ? AND boot = ? AND expires_at > ? ORDER BY name LIMIT ?"""  # noqa: S608 - names of columns only
_FORCE = f"DELETE FROM locks WHERE name = ? AND boot = ? AND expires_at > ? RETURNING {_RECORD}"  # noqa: S608 - likewise


class _Now(NamedTuple):
    boot: str
    at: float  # what `expires_at` is compared with
    wall: float


class SqliteLocks:
    """Leases in the file `path`. Lives as long as its `Locks`; the file is opened by the first call."""

    name = "sqlite"
    is_local = False

    def __init__(
        self,
        path: Path,
        *,
        options: SqliteOptions | None = None,
        clock: Clock | None = None,
        boot_id: Callable[[], str | None] | None = None,
    ) -> None:
        """Take the settings; does no I/O.

        Args:
            boot_id: Tells which boot of the machine this is; `None` where that is not known.
        """
        self.path = path
        self._clock = clock or SystemClock()
        self._boot_id = lru_cache(maxsize=1)(boot_id or _read_boot_id)  # a process does not live longer than its boot
        self._granted = 0
        schema = resources.files(__package__).joinpath("schema_1.sql").read_text()
        self._store = SqliteStore(path, migrations=(schema,), options=options, is_lazy=True)

    @classmethod
    def from_url(cls, url: Url, *, what: str = "locks", clock: Clock | None = None) -> Self:
        """Build the store of a `sqlite:///` URL. Opens nothing yet."""
        return cls(Path(url.file_path(what=what)), options=url.options_as(SqliteOptions, what=what), clock=clock)

    async def __aenter__(self) -> Self:
        await self._store.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._store.__aexit__(*exc_info)

    async def ping(self) -> None:
        """See `LockStore.ping`."""
        with _translated():
            await self._store.read(lambda db: db.execute("SELECT token FROM fence").fetchone())

    async def acquire(self, name: str, *, owner: str, claim: str, ttl_s: float) -> Granted | Held:
        """See `LockStore.acquire`."""
        self._granted += 1
        is_time_to_sweep = self._granted % _SWEEP_EVERY == 0

        def run(db: sqlite3.Connection, now: _Now) -> Granted | Held:
            row = db.execute(_FIND, (name, now.boot, now.at)).fetchone()
            if row is not None:
                if row[0] != claim:
                    return Held(row[1], row[3] - now.at)
                db.execute(_EXTEND, (now.at + ttl_s, name, claim, now.boot, now.at))
                return Granted(row[2])
            if is_time_to_sweep:
                db.execute(_SWEEP, (now.boot, now.at))
            (token,) = db.execute(_COUNT, (int(now.wall * 1e6),)).fetchone()
            db.execute(_PUT, (name, claim, owner, token, now.boot, now.at + ttl_s, now.wall))
            return Granted(token)

        return await self._write(run)

    async def extend(self, name: str, *, claim: str, ttl_s: float) -> bool:
        """See `LockStore.extend`."""
        return await self._write(
            lambda db, now: db.execute(_EXTEND, (now.at + ttl_s, name, claim, now.boot, now.at)).rowcount > 0
        )

    async def release(self, name: str, *, claim: str) -> bool:
        """See `LockStore.release`. No call overtakes another: one thread takes them in their order."""
        return await self._write(lambda db, now: db.execute(_RELEASE, (name, claim, now.boot, now.at)).rowcount > 0)

    async def list_held(self, *, prefix: str, limit: int) -> list[LockRecord]:
        """See `LockStore.list_held`."""

        def run(db: sqlite3.Connection) -> list[LockRecord]:
            now = self._now()
            rows = db.execute(_LIST, (len(prefix), prefix, now.boot, now.at, limit)).fetchall()
            return [_record(row, now) for row in rows]

        with _translated():
            return await self._store.read(run)

    async def force_release(self, name: str) -> LockRecord | None:
        """See `LockStore.force_release`."""

        def run(db: sqlite3.Connection, now: _Now) -> LockRecord | None:
            row = db.execute(_FORCE, (name, now.boot, now.at)).fetchone()
            return None if row is None else _record(row, now)

        return await self._write(run)

    async def _write(self, run: Callable[[sqlite3.Connection, _Now], T]) -> T:
        with _translated():
            # The time is read in there: a lease must not begin while the call still waits for another process.
            return await self._store.write(lambda db: run(db, self._now()))

    def _now(self) -> _Now:
        boot, wall = self._boot_id(), self._clock.time()
        return _Now("", wall, wall) if boot is None else _Now(boot, self._clock.monotonic(), wall)


def _record(row: tuple[str, str, int, float, float], now: _Now) -> LockRecord:
    name, owner, token, expires_at, acquired_at = row
    return LockRecord(name=name, owner=owner, token=token, expires_in_s=expires_at - now.at, acquired_at=acquired_at)


def _read_boot_id() -> str | None:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the file's errors into those of locks."""
    try:
        yield
    except (StoreUnavailableError, ConfigError) as exc:  # opened late, it also tells late that it cannot be written
        raise LockUnavailableError(exc.message, hint=exc.hint) from exc
