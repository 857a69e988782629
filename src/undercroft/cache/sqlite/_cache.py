"""The SQLite backend: writes and leases by the store's thread, point reads without it."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Literal, Self, TypeVar

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.sqlite import SqliteStore, StoreNotWritableError, StoreUnavailableError, StoreVersionError
from undercroft._core.url import Url
from undercroft.cache._errors import CacheUnavailableError
from undercroft.cache._protocol import NOT_NOW, Changes, Item, KeyPage, NotNow, Read, Statistics
from undercroft.cache._waiting import LeaseWaits
from undercroft.cache.sqlite import _reader as reading
from undercroft.cache.sqlite import _writes as writes
from undercroft.cache.sqlite._options import SqliteCacheOptions
from undercroft.cache.sqlite._ranges import after, end_of
from undercroft.cache.sqlite._reader import Reader

T = TypeVar("T")
MIGRATIONS = ("schema_1.sql",)
_CLEARED_AT_ONCE = 500
_EXPIRE_EVERY = 16
"""Writes; each of those removes so much the more."""
_VERSION_BYTES = 16


class SqliteCache:
    """A `CacheBackend` in one SQLite file. `async with` touches nothing: the first call opens the file.

    Args:
        path: The file, which holds this cache and nothing else. May be deleted while no process has it open.
        random_bytes: Makes the versions of tags.
    """

    name = "sqlite"
    is_local = False

    def __init__(
        self,
        path: Path,
        *,
        options: SqliteCacheOptions | None = None,
        clock: Clock | None = None,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.path = path
        self.options = options or SqliteCacheOptions()
        self._clock = clock or SystemClock()
        self._random_bytes = random_bytes
        self._waits = LeaseWaits(self._clock, longest_pause_s=self.options.poll_s)
        self._writes = 0
        self._reader: Reader | None = None
        scripts = tuple(resources.files(__package__).joinpath(name).read_text() for name in MIGRATIONS)
        self._store = SqliteStore(path, migrations=scripts, options=self.options, is_lazy=True)

    @classmethod
    def from_url(cls, url: Url, *, what: str = "cache", clock: Clock | None = None) -> Self:
        """Make the backend of a `sqlite:///` URL. Opens nothing."""
        options = url.options_as(SqliteCacheOptions, what=what)
        return cls(Path(url.file_path(what=what)), options=options, clock=clock)

    async def __aenter__(self) -> Self:
        await self._store.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
        self._waits.wake_all()
        await self._store.__aexit__(*exc_info)

    async def ping(self) -> None:
        await self._write(lambda db: db.execute("SELECT 1 FROM entries LIMIT 1").fetchone())

    def time(self) -> float:
        return self._clock.time()

    # --- Entries ----------------------------------------------------------------------------------------------------

    def get_now(self, space: str, key: str) -> bytes | Literal[NotNow.NOT_NOW] | None:
        if self._reader is None:
            return NOT_NOW
        try:
            return self._reader.get(space, key, self._clock.time())
        except StoreUnavailableError as exc:
            raise CacheUnavailableError(exc.message, hint=exc.hint) from exc

    async def get(self, space: str, key: str) -> bytes | None:
        found = self.get_now(space, key)
        if found is not NOT_NOW:
            return found
        now = self._clock.time()
        return (await self._read(lambda db: _values(db, space, [key], now)))[0]

    async def read(self, space: str, keys: Sequence[str], tags: Sequence[str] = ()) -> Read:
        return await self._look_up(space, keys, tags, self._clock.time())

    async def write(self, space: str, items: Sequence[Item]) -> None:
        now = self._clock.time()
        await self._write_entries(lambda db: writes.put(db, space, items, now=now), now)
        self._waits.wake(space, (item.key for item in items))

    async def delete(self, space: str, keys: Sequence[str]) -> int:
        now = self._clock.time()
        count = await self._write(lambda db: writes.delete(db, space, keys, now=now))
        self._waits.wake(space, keys)
        return count

    async def clear(self, space: str, *, prefix: str = "") -> int:
        now, low, high = self._clock.time(), prefix, end_of(prefix)
        # First of all, so that what is being computed now is not stored behind the back of this.
        await self._write(lambda db: db.execute(writes.CLEAR_LEASES, (space, prefix, high)).rowcount)
        self._waits.wake_all()
        count, is_done = 0, False
        while not is_done:
            portion = (space, low, high, _CLEARED_AT_ONCE)
            gone = await self._write(lambda db, portion=portion: db.execute(writes.CLEAR, portion).fetchall())  # type: ignore[misc]
            count += sum(expires_at > now for _, expires_at in gone)
            is_done = len(gone) < _CLEARED_AT_ONCE
            low = after(max((key for key, _ in gone), default=low))
        return count

    async def keys(self, space: str, *, prefix: str = "", limit: int = 100, cursor: str | None = None) -> KeyPage:
        low = prefix if cursor is None else after(cursor)
        values = (space, low, end_of(prefix), self._clock.time(), limit + 1)
        rows = await self._read(lambda db: db.execute(KEYS, values).fetchall())
        found = tuple(key for (key,) in rows)
        return KeyPage(found[:limit], found[limit - 1] if len(found) > limit else None)

    async def statistics(self, space: str) -> Statistics:
        now = self._clock.time()
        entries, size = await self._read(lambda db: db.execute(STATISTICS, (space, now)).fetchone())
        return Statistics(entries=entries, size_bytes=size)

    # --- Tags -------------------------------------------------------------------------------------------------------

    async def ensure_tags(self, space: str, tags: Sequence[str], *, ttl_s: float | None) -> tuple[bytes, ...]:
        now = self._clock.time()
        until = writes.end_of_life(ttl_s, now)
        kept = await self._look_up(space, (), tags, min(until, sys.float_info.max))
        known = tuple(version for version in kept.versions if version is not None)
        if len(known) == len(tags):
            return known  # kept long enough as they are, so nothing has to be written
        fresh = [self._random_bytes(_VERSION_BYTES).hex() for _ in tags]
        return await self._write(
            lambda db: tuple(
                writes.ensure_tag(db, space, tag, fresh=version, now=now, ttl_s=ttl_s).encode()
                for tag, version in zip(tags, fresh, strict=True)
            )
        )

    async def invalidate_tags(self, space: str, tags: Sequence[str]) -> None:
        # A version that is not there equals none, and the next one is another.
        values = [(space, tag) for tag in tags]
        await self._write(lambda db: db.executemany(writes.FORGET_TAG, values).rowcount)

    # --- Leases -----------------------------------------------------------------------------------------------------

    async def take_lease(self, space: str, key: str, token: str, *, ttl_s: float) -> bool:
        now = self._clock.time()
        return await self._write(lambda db: writes.take_lease(db, space, key, token, now=now, ttl_s=ttl_s))

    async def renew_lease(self, space: str, key: str, token: str, *, ttl_s: float) -> bool:
        now = self._clock.time()
        values = (now + ttl_s, space, key, token, now)
        return await self._write(lambda db: db.execute(writes.RENEW_LEASE, values).rowcount == 1)

    async def write_leased(self, space: str, item: Item, token: str) -> bool:
        now = self._clock.time()
        is_kept = await self._write_entries(lambda db: writes.put_leased(db, space, item, token, now=now), now)
        self._waits.wake(space, (item.key,))
        return is_kept

    async def end_lease(self, space: str, key: str, token: str) -> None:
        await self._write(lambda db: db.execute(writes.GIVE_BACK, (space, key, token)).rowcount)
        self._waits.wake(space, (key,))

    async def wait_for_lease(self, space: str, key: str, *, timeout_s: float) -> None:
        async def is_held() -> bool:
            now = self._clock.time()
            if self._reader is not None:
                with translated():
                    found = self._reader.has_lease(space, key, now)
                if found is not NOT_NOW:
                    return found
            return await self._read(lambda db: db.execute(reading.LEASE, (space, key, now)).fetchone() is not None)

        await self._waits.wait(space, key, timeout_s=timeout_s, is_held=is_held)

    # --- Coherence --------------------------------------------------------------------------------------------------

    def changes(self) -> Changes | None:
        """Return `None`: a read here costs hardly more than in a tier in front."""
        return None

    # --- The store --------------------------------------------------------------------------------------------------

    async def _look_up(self, space: str, keys: Sequence[str], tags: Sequence[str], now: float) -> Read:
        if self._reader is not None:
            with translated():
                found = self._reader.read(space, keys, tags, now)
            if found is not NOT_NOW:
                return Read(*found)
        return await self._read(lambda db: Read(_values(db, space, keys, now), _versions(db, space, tags, now)))

    async def _read(self, run: Callable[[sqlite3.Connection], T]) -> T:
        with translated():
            found = await self._store.read(run)
        self._prepare_reader()
        return found

    async def _write(self, run: Callable[[sqlite3.Connection], T]) -> T:
        with translated():
            return await self._store.write(run)

    async def _write_entries(self, run: Callable[[sqlite3.Connection], T], now: float) -> T:
        self._writes += 1
        is_expiring = self._writes % _EXPIRE_EVERY == 0
        max_bytes = self.options.max_bytes

        def run_and_clean(db: sqlite3.Connection) -> T:
            result = run(db)
            if is_expiring:
                writes.expire(db, now=now)
            writes.make_room(db, now=now, max_bytes=max_bytes)
            return result

        return await self._write(run_and_clean)

    def _prepare_reader(self) -> None:
        """From now on read without the thread: the store has been opened, so that the tables are there."""
        if self._reader is None:
            self._reader = Reader(self.path)


@contextmanager
def translated() -> Iterator[None]:
    """Turn the store's errors into the cache's. A file that cannot be used is no reason for a read to fail either."""
    try:
        yield
    except (StoreUnavailableError, StoreNotWritableError, StoreVersionError) as exc:
        raise CacheUnavailableError(exc.message, hint=exc.hint) from exc


def _values(db: sqlite3.Connection, space: str, keys: Sequence[str], now: float) -> tuple[bytes | None, ...]:
    found = (db.execute(reading.GET_ANY, (space, key, now)).fetchone() for key in keys)
    return tuple(None if row is None else row[0] for row in found)


def _versions(db: sqlite3.Connection, space: str, tags: Sequence[str], now: float) -> tuple[bytes | None, ...]:
    return reading.as_versions(db.execute(reading.VERSION, (space, tag, now)).fetchall() for tag in tags)


KEYS = "SELECT key FROM entries WHERE space = ? AND key >= ? AND key < ? AND expires_at > ? ORDER BY key LIMIT ?"

STATISTICS = "SELECT count(*), coalesce(sum(length(data)), 0) FROM entries WHERE space = ? AND expires_at > ?"
