"""Entries: kept, replaced, forgotten, ended."""

from __future__ import annotations

import pytest

from undercroft.cache import NOT_NOW, CacheBackend, Item, Statistics
from undercroft.testing.conformance.cache._base import LONG_S, SHORT_S, PassTime, Promises, all_keys, put

ODD_KEYS = ["a:b", "a b", "é ✓ 𝄞", "%", "a_c", "A", "{x}", "*", "[a]", "\\", "'", "x" * 600, "\x00\n"]


class EntryPromises(Promises):
    async def test_what_was_written_is_read(self, backend: CacheBackend, space: str) -> None:
        await put(backend, space, a=b"1")
        assert await backend.get(space, "a") == b"1"

    async def test_what_was_never_written_is_not_there(self, backend: CacheBackend, space: str) -> None:
        assert await backend.get(space, "a") is None
        assert (await backend.read(space, ["a"])).values == (None,)

    async def test_any_bytes_come_back_as_they_were(self, backend: CacheBackend, space: str) -> None:
        for data in (b"", b"\x00\xff\r\n" * 3, bytes(range(256)) * 4096):
            await put(backend, space, a=data)
            assert await backend.get(space, "a") == data

    @pytest.mark.parametrize("key", ODD_KEYS)
    async def test_any_key_is_a_key(self, backend: CacheBackend, space: str, key: str) -> None:
        await backend.write(space, [Item(key, b"1", LONG_S)])
        assert await backend.get(space, key) == b"1"
        assert await all_keys(backend, space) == {key}
        assert await backend.delete(space, [key]) == 1

    async def test_many_are_read_in_the_order_they_were_asked_for(self, backend: CacheBackend, space: str) -> None:
        await put(backend, space, a=b"1", b=b"2")
        assert (await backend.read(space, ["b", "none", "a", "b"])).values == (b"2", None, b"1", b"2")
        assert (await backend.read(space, [])).values == ()

    async def test_a_later_write_replaces_an_earlier_one(self, backend: CacheBackend, space: str) -> None:
        await put(backend, space, a=b"1")
        await put(backend, space, a=b"2")
        assert await backend.get(space, "a") == b"2"

    async def test_one_call_may_write_a_key_twice(self, backend: CacheBackend, space: str) -> None:
        await backend.write(space, [Item("a", b"1", LONG_S), Item("a", b"2", LONG_S)])
        assert await backend.get(space, "a") == b"2"

    async def test_writing_nothing_is_nothing(self, backend: CacheBackend, space: str) -> None:
        await backend.write(space, [])
        assert await backend.delete(space, []) == 0

    async def test_an_entry_ends_at_its_time(self, backend: CacheBackend, space: str, pass_time: PassTime) -> None:
        await put(backend, space, SHORT_S, a=b"1")
        await put(backend, space, LONG_S, b=b"2")
        await put(backend, space, None, c=b"3")
        await pass_time(SHORT_S * 1.2)
        assert (await backend.read(space, ["a", "b", "c"])).values == (None, b"2", b"3")
        assert await backend.get(space, "a") is None

    async def test_an_entry_that_has_ended_is_not_counted_listed_or_deleted(
        self, backend: CacheBackend, space: str, pass_time: PassTime
    ) -> None:
        await put(backend, space, SHORT_S, a=b"1")
        await pass_time(SHORT_S * 1.2)
        assert (await backend.statistics(space)).entries == 0
        assert await all_keys(backend, space) == set()
        assert await backend.delete(space, ["a"]) == 0

    async def test_the_later_write_says_how_long(self, backend: CacheBackend, space: str, pass_time: PassTime) -> None:
        await put(backend, space, SHORT_S, a=b"1", b=b"1")
        await put(backend, space, LONG_S, a=b"2")
        await put(backend, space, None, b=b"2")
        await pass_time(SHORT_S * 1.2)
        assert (await backend.read(space, ["a", "b"])).values == (b"2", b"2")
        await put(backend, space, SHORT_S, a=b"3", b=b"3")
        await pass_time(SHORT_S * 1.2)
        assert (await backend.read(space, ["a", "b"])).values == (None, None)

    async def test_delete_forgets_and_counts_what_was_there(self, backend: CacheBackend, space: str) -> None:
        await put(backend, space, a=b"1", b=b"2", c=b"3")
        assert await backend.delete(space, ["a", "b", "none"]) == 2
        assert (await backend.read(space, ["a", "b", "c"])).values == (None, None, b"3")
        assert await backend.delete(space, ["a"]) == 0

    async def test_what_is_known_now_is_what_would_be_read(
        self, backend: CacheBackend, space: str, pass_time: PassTime
    ) -> None:
        get_now = getattr(backend, "get_now", lambda *_: NOT_NOW)
        assert get_now(space, "a") in (None, NOT_NOW)
        await put(backend, space, a=b"1", b=b"x" * 1_000_000)
        assert get_now(space, "a") in (b"1", NOT_NOW)
        assert get_now(space, "b") in (b"x" * 1_000_000, NOT_NOW)
        await put(backend, space, SHORT_S, a=b"2")
        assert get_now(space, "a") in (b"2", NOT_NOW)
        await pass_time(SHORT_S * 1.2)
        assert get_now(space, "a") in (None, NOT_NOW)
        await backend.delete(space, ["b"])
        assert get_now(space, "b") in (None, NOT_NOW)


class SpacePromises(Promises):
    async def test_nothing_is_shared_between_spaces(self, backend: CacheBackend, space: str) -> None:
        other = f"{space}.more"  # begins as the first one does
        await put(backend, space, a=b"1")
        await put(backend, other, a=b"2", b=b"3")
        assert await backend.get(space, "a") == b"1"
        assert await backend.clear(space) == 1
        assert await backend.get(space, "a") is None
        assert (await backend.read(other, ["a", "b"])).values == (b"2", b"3")

    async def test_tags_and_leases_are_not_shared_either(self, backend: CacheBackend, space: str) -> None:
        other = f"{space}.more"
        (mine,) = await backend.ensure_tags(space, ["t"], ttl_s=LONG_S)
        assert (await backend.read(other, [], ["t"])).versions == (None,)
        await backend.invalidate_tags(other, ["t"])
        assert (await backend.read(space, [], ["t"])).versions == (mine,)
        assert await backend.take_lease(space, "a", "one", ttl_s=LONG_S)
        assert await backend.take_lease(other, "a", "two", ttl_s=LONG_S)

    async def test_clear_keeps_to_a_prefix_and_takes_it_literally(self, backend: CacheBackend, space: str) -> None:
        for key in ("user:1", "user:2", "users", "User:1", "u%", "u*", "u_"):
            await backend.write(space, [Item(key, b"1", LONG_S)])
        assert await backend.clear(space, prefix="user:") == 2
        assert await backend.clear(space, prefix="u%") == 1
        assert await backend.clear(space, prefix="u*") == 1
        assert await backend.clear(space, prefix="u_") == 1
        assert await backend.clear(space, prefix="none") == 0
        assert await all_keys(backend, space) == {"users", "User:1"}

    async def test_clear_takes_thousands(self, backend: CacheBackend, space: str) -> None:
        await backend.write(space, [Item(f"k{n}", b"1", LONG_S) for n in range(2500)])
        assert await backend.clear(space) == 2500
        assert await all_keys(backend, space) == set()

    async def test_every_key_is_on_one_of_the_pages(self, backend: CacheBackend, space: str) -> None:
        written = {f"k{n}" for n in range(257)}
        await backend.write(space, [Item(key, b"1", LONG_S) for key in written] + [Item("other", b"1", LONG_S)])
        assert await all_keys(backend, space, prefix="k", limit=10) == written
        assert await all_keys(backend, space) == {*written, "other"}

    async def test_statistics_count_entries_only(self, backend: CacheBackend, space: str) -> None:
        assert await backend.statistics(space) in (
            Statistics(entries=0, size_bytes=0),
            Statistics(entries=0, size_bytes=None),
        )
        await put(backend, space, a=b"1234", b=b"56")
        await backend.ensure_tags(space, ["t"], ttl_s=LONG_S)
        await backend.take_lease(space, "c", "token", ttl_s=LONG_S)
        found = await backend.statistics(space)
        assert (found.entries, found.size_bytes) in ((2, 6), (2, None))

    async def test_leases_and_tags_are_no_keys(self, backend: CacheBackend, space: str) -> None:
        await backend.ensure_tags(space, ["t"], ttl_s=LONG_S)
        await backend.take_lease(space, "c", "token", ttl_s=LONG_S)
        assert await all_keys(backend, space) == set()
        assert await backend.get(space, "c") is None
        assert await backend.delete(space, ["c", "t"]) == 0


class StorePromises(Promises):
    async def test_it_answers(self, backend: CacheBackend) -> None:
        await backend.ping()
        assert backend.name
        assert isinstance(backend.is_local, bool)

    async def test_its_clock_goes_on(self, backend: CacheBackend, space: str, pass_time: PassTime) -> None:
        await backend.get(space, "a")  # a store whose clock is elsewhere has seen it by now
        before = backend.time()
        await pass_time(SHORT_S)
        assert before + SHORT_S * 0.9 <= backend.time() <= before + SHORT_S + 30
