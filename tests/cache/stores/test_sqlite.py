"""What only a SQLite file has: a size, a place that may be taken away, a second connection."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft._core.clock import VirtualClock
from undercroft._core.errors import NotOpenError
from undercroft._core.url import Url, UrlError
from undercroft.cache import NOT_NOW, CacheUnavailableError, Item
from undercroft.cache.sqlite import SqliteCache, SqliteCacheOptions
from undercroft.cache.sqlite._ranges import after, end_of
from undercroft.cache.sqlite._reader import INLINE_BYTES

pytestmark = pytest.mark.anyio
MIB = 1 << 20
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=4) | st.text("\ud7ff\ue000\U0010ffff\0%_", max_size=4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


@pytest.fixture
async def cache(path: Path) -> AsyncIterator[SqliteCache]:
    async with SqliteCache(path) as cache:
        await cache.ping()
        yield cache


async def put(cache: SqliteCache, key: str, data: bytes, ttl_s: float | None = 60.0) -> None:
    await cache.write("s", [Item(key, data, ttl_s)])


def rows(path: Path, table: str = "entries") -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


# --- The second connection --------------------------------------------------------------------------------------------


async def test_a_small_value_is_read_without_the_store_s_thread(
    cache: SqliteCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(cache, "small", b"x" * INLINE_BYTES)
    await put(cache, "large", b"x" * (INLINE_BYTES + 1))
    assert await cache.get("s", "small") is not None  # from here on the second connection is there
    asked: list[object] = []
    read = cache._store.read
    monkeypatch.setattr(cache._store, "read", lambda run: (asked.append(run), read(run))[1])
    assert len(await cache.get("s", "small") or b"") == INLINE_BYTES
    assert (await cache.read("s", ["small", "none"], ["t"])).values[1] is None
    assert not asked
    assert len(await cache.get("s", "large") or b"") == INLINE_BYTES + 1
    assert len(asked) == 1
    await cache.read("s", [f"k{n}" for n in range(100)])
    assert len(asked) == 2


async def test_reads_do_not_wait_for_somebody_else_s_write(cache: SqliteCache, path: Path) -> None:
    await put(cache, "a", b"1")
    await cache.get("s", "a")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM entries")
        with anyio.fail_after(0.5):
            assert await cache.get("s", "a") == b"1"
        other.execute("COMMIT")
    assert await cache.get("s", "a") is None


async def test_readers_do_not_keep_the_log_from_being_reset(cache: SqliteCache, path: Path) -> None:
    log = path.with_name("cache.db-wal")
    for n in range(1000):
        await put(cache, f"k{n % 10}", os.urandom(4000))
        await cache.get("s", f"k{n % 10}")
    assert log.stat().st_size < 8 * MIB


async def test_what_another_process_wrote_is_read(cache: SqliteCache, path: Path) -> None:
    await cache.get("s", "a")
    async with SqliteCache(path) as other:
        for n in range(5):
            await put(other, "a", b"%d" % n)
            assert await cache.get("s", "a") == b"%d" % n


async def test_a_file_that_was_replaced_is_noticed_by_reads_and_writes(cache: SqliteCache, path: Path) -> None:
    await put(cache, "a", b"1")
    assert await cache.get("s", "a") == b"1"
    path.rename(path.with_name("aside"))
    with pytest.raises(CacheUnavailableError, match="deleted or replaced"):
        await cache.get("s", "a")
    with pytest.raises(CacheUnavailableError, match="deleted or replaced"):
        await put(cache, "a", b"2")
    path.with_name("aside").rename(path)
    assert await cache.get("s", "a") == b"1"
    await put(cache, "a", b"2")
    assert await cache.get("s", "a") == b"2"


async def test_trouble_of_the_second_connection_is_left_to_the_store(cache: SqliteCache) -> None:
    await put(cache, "a", b"1")
    for _ in range(2):  # the first one is told by the store
        assert await cache.get("s", "a") == b"1"
    assert cache._reader is not None
    assert cache._reader._connection is not None
    cache._reader._connection.close()  # as good as any error of its own
    assert cache._reader.get("s", "a", 0.0) is NOT_NOW
    assert await cache.get("s", "a") == b"1"


async def test_a_closed_cache_holds_no_file(path: Path) -> None:
    async with SqliteCache(path) as cache:
        await put(cache, "a", b"1")
        await cache.get("s", "a")
        await cache.get("s", "a")
    held = [file.resolve() for file in Path("/proc/self/fd").iterdir()]
    assert not [file for file in held if file.is_relative_to(path.parent)]
    with pytest.raises(NotOpenError):
        await cache.get("s", "a")
    async with cache:
        assert await cache.get("s", "a") == b"1"


async def test_a_cache_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    async with SqliteCache(tmp_path / "file" / "cache.db") as cache:
        with pytest.raises(CacheUnavailableError):
            await cache.get("s", "a")
    (tmp_path / "not.db").write_bytes(b"not a database, but long enough to look like one" * 100)
    async with SqliteCache(tmp_path / "not.db") as cache:
        for _ in range(2):
            with pytest.raises(CacheUnavailableError, match="not a database"):
                await cache.get("s", "a")


async def test_a_damaged_file_is_unavailable_or_a_miss_and_nothing_else(path: Path) -> None:
    async with SqliteCache(path) as cache:
        for n in range(300):
            await put(cache, f"k{n}", os.urandom(300))
    with path.open("r+b") as file:
        for page in range(2, 20):
            file.seek(page * 4096)
            file.write(os.urandom(4096))
    unavailable = 0
    async with SqliteCache(path) as cache:
        for n in range(300):
            try:
                found = await cache.get("s", f"k{n}")
            except CacheUnavailableError:
                unavailable += 1
            else:
                assert found is None or len(found) == 300
    assert unavailable


# --- Room -------------------------------------------------------------------------------------------------------------


async def test_the_file_stays_within_its_bound_and_the_oldest_go(path: Path) -> None:
    async with SqliteCache(path, options=SqliteCacheOptions(max_bytes=2 * MIB)) as cache:
        for n in range(1000):
            await put(cache, f"k{n}", bytes(8000))
        found = [n for n in range(1000) if await cache.get("s", f"k{n}") is not None]
    assert path.stat().st_size < 2.2 * MIB
    assert found == list(range(1000 - len(found), 1000))
    assert 150 < len(found) < 260


async def test_what_has_expired_goes_before_what_is_old(path: Path) -> None:
    clock = VirtualClock()
    async with SqliteCache(path, options=SqliteCacheOptions(max_bytes=2 * MIB), clock=clock) as cache:
        for n in range(100):
            await put(cache, f"old{n}", bytes(8000), 3600)
        for n in range(100):
            await put(cache, f"short{n}", bytes(8000), 1)
        await clock.advance(5)
        for n in range(100):
            await put(cache, f"new{n}", bytes(8000), 3600)
        assert all([await cache.get("s", f"old{n}") is not None for n in range(100)])


async def test_the_expired_are_removed_in_passing(path: Path) -> None:
    clock = VirtualClock()
    async with SqliteCache(path, clock=clock) as cache:
        await cache.write("s", [Item(f"k{n}", b"1", 1.0) for n in range(100)])
        await cache.ensure_tags("s", ["t"], ttl_s=1)
        assert await cache.take_lease("s", "cold", "token", ttl_s=1)
        await clock.advance(5)
        for _ in range(16):
            await put(cache, "other", b"1")
        assert (rows(path), rows(path, "tags"), rows(path, "leases")) == (1, 0, 0)


@pytest.mark.parametrize("ttl_s", [5, 1e12, 3e13, None])
async def test_what_lives_is_counted_when_it_goes(cache: SqliteCache, ttl_s: float | None) -> None:
    await cache.write("s", [Item(key, b"1", ttl_s) for key in ("a", "b")])
    assert await cache.delete("s", ["a", "none"]) == 1
    assert await cache.clear("s") == 1


async def test_an_expired_value_is_gone_to_the_instant(path: Path) -> None:
    clock = VirtualClock()
    async with SqliteCache(path, clock=clock) as cache:
        await put(cache, "a", b"1", 10)
        await clock.advance(9.999)
        assert await cache.get("s", "a") == b"1"
        await clock.advance(0.001)
        assert await cache.get("s", "a") is None
        assert await cache.delete("s", ["a"]) == 0


# --- Ranges and options -----------------------------------------------------------------------------------------------


@given(prefix=text, key=text)
def test_a_range_has_exactly_what_begins_with_its_prefix(prefix: str, key: str) -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        (is_within,) = db.execute("SELECT ?1 >= ?2 AND ?1 < ?3", (key, prefix, end_of(prefix))).fetchone()
        (is_after,) = db.execute("SELECT ? < ?", (key, after(key))).fetchone()
    assert bool(is_within) is key.startswith(prefix)
    assert is_after


async def test_a_large_cache_is_cleared_in_portions(cache: SqliteCache) -> None:
    await cache.write("s", [Item(f"k{n:05}", b"1", None) for n in range(1700)])
    await cache.write("other", [Item("k", b"1", None)])
    assert await cache.clear("s", prefix="k0") == 1700
    assert (await cache.statistics("other")).entries == 1


def test_options_of_the_url() -> None:
    options = SqliteCache.from_url(Url.parse("sqlite:///a.db?max_bytes=2000000&synchronous=full")).options
    assert (options.max_bytes, options.synchronous) == (2_000_000, "full")
    assert SqliteCacheOptions().synchronous == "normal"
    for wrong in ("max_bytes=5", "max_byte=5", "synchronous=off"):
        with pytest.raises(UrlError):
            SqliteCache.from_url(Url.parse(f"sqlite:///a.db?{wrong}"))
