"""What is stored, and what comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft._core.clock import VirtualClock
from undercroft._core.errors import NotOpenError
from undercroft.cache import (
    MISSING,
    Cache,
    CacheKeyError,
    CacheMissError,
    CacheOptionError,
    CacheValueError,
    Item,
    create_cache,
)
from undercroft.cache._envelope import Codec
from undercroft.cache.memory import MemoryCache

pytestmark = pytest.mark.anyio


@dataclass
class User:
    id: int
    name: str
    seen_at: datetime | None = None


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def store(clock: VirtualClock) -> MemoryCache:
    return MemoryCache(clock=clock)


@pytest.fixture
async def cache(store: MemoryCache, clock: VirtualClock) -> AsyncIterator[Cache[Any]]:
    async with Cache[Any](store, default_ttl="5m", clock=clock) as cache:
        yield cache


async def test_a_value_comes_back_as_its_type(cache: Cache[Any]) -> None:
    users = cache.of(User)
    user = User(1, "Ada", datetime(2026, 1, 2, tzinfo=UTC))
    await users.set("1", user)
    assert await users.get("1") == user
    assert await users.require("1") == user
    assert await users.get_many(["1", "2"]) == {"1": user}


async def test_changing_what_came_back_does_not_change_the_cache(cache: Cache[Any]) -> None:
    value = {"tags": ["a"]}
    await cache.set("k", value)
    value["tags"].append("b")
    (await cache.require("k"))["tags"].append("c")
    assert await cache.get("k") == {"tags": ["a"]}


@pytest.mark.parametrize(
    "value", [(1, 2), {1: "a"}, b"x", {"s": {1}}, datetime.now(UTC), Decimal(1), User(1, "a"), float("nan"), object()]
)
async def test_what_would_come_back_as_something_else_is_refused(cache: Cache[Any], value: object) -> None:
    with pytest.raises(CacheValueError, match="k"):
        await cache.set("k", value)
    assert await cache.get("k", MISSING) is MISSING


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (tuple[int, int], (1, 2)),
        (dict[int, str], {1: "a"}),
        (bytes, b"\x00"),
        (Decimal, Decimal("1.10")),
        (UUID, UUID(int=7)),
        (set[str], {"a", "b"}),
        (User | None, None),
    ],
)
async def test_whoever_says_the_type_gets_it_back(cache: Cache[Any], type_: Any, value: object) -> None:
    view = cache.of(type_, namespace="typed")
    await view.set("k", value)
    assert await view.get("k", MISSING) == value


async def test_a_value_of_another_type_is_refused(cache: Cache[Any]) -> None:
    wrong: Any = {"id": "one", "name": "Ada"}
    with pytest.raises(CacheValueError, match=r"Expected `int`, got `str` - at `\$.id`"):
        await cache.of(User).set("1", wrong)


async def test_a_missing_value_and_none_can_be_told_apart(cache: Cache[Any]) -> None:
    await cache.set("k", None)
    assert await cache.get("k", MISSING) is None
    assert await cache.get("none", MISSING) is MISSING
    assert await cache.get("none", 7) == 7
    assert await cache.get("none") is None
    assert not MISSING
    with pytest.raises(CacheMissError, match="none") as caught:
        await cache.require("none")
    assert caught.value.key == "none"


async def misses_of(cache: Cache[Any]) -> dict[str, int]:
    return (await cache.stats()).misses


async def test_another_version_is_not_there(cache: Cache[Any]) -> None:
    await cache.of(User, version=1).set("1", User(1, "Ada"))
    newer = cache.of(User, version=2)
    assert await newer.get("1") is None
    assert await newer.get_many(["1"]) == {}
    assert await misses_of(newer) == {"version": 2}


async def test_what_does_not_fit_the_type_any_more_is_not_there(cache: Cache[Any]) -> None:
    class Renamed(msgspec.Struct):
        id: int
        full_name: str

    await cache.of(User, namespace="u").set("1", User(1, "Ada"))
    view = cache.of(Renamed, namespace="u")
    assert await view.get("1") is None
    assert await misses_of(view) == {"type": 1}


@given(data=st.binary(max_size=60) | st.from_regex(rb"\[1,1,[0-9.,nul\[\]\{\}\"]*\]"))
def test_no_damaged_value_raises(data: bytes) -> None:
    codec: Codec[User] = Codec(User)
    opened = codec.open(data)
    assert isinstance(opened, str) or isinstance(opened.data, User | None)


@pytest.mark.parametrize("data", [b"", b"\xff", b"{}", b"[]", b"[1]", b'{"id":1}', b"\x80\x04K\x01.", b"[" * 5000])
async def test_a_damaged_value_is_a_counted_miss(cache: Cache[Any], store: MemoryCache, data: bytes) -> None:
    await store.write("app", [Item("k", data, 60)])
    assert await cache.get("k") is None
    assert await cache.get_many(["k"]) == {}
    assert await misses_of(cache) == {"damaged": 2}

    async def compute() -> int:
        return 1

    assert await cache.get_or_set("k", compute) == 1
    assert await cache.get("k") == 1


async def test_a_future_format_is_not_there(cache: Cache[Any], store: MemoryCache) -> None:
    await store.write("app", [Item("k", b'[2,1,0,null,null,null,"x",{"more":1}]', 60)])
    assert await cache.get("k") is None
    assert await misses_of(cache) == {"version": 1}


async def test_a_view_has_its_own_keys_and_shares_the_tags(cache: Cache[Any]) -> None:
    users, numbers = cache.of(User), cache.of(int, namespace="n")
    await users.set("1", User(1, "Ada"), tags=["t"])
    await numbers.set("1", 1, tags=["t"])
    assert sorted([key async for key in cache.iter_keys()]) == ["User:1", "n:1"]
    assert await users.list_keys() == ["1"]
    assert await numbers.clear() == 1
    assert await users.get("1") == User(1, "Ada")
    await cache.invalidate_tags("t")
    assert await users.get("1") is None


async def test_a_view_may_have_views(cache: Cache[Any]) -> None:
    await cache.of(dict[str, int], namespace="a").of(int).set("k", 1)
    assert await cache.list_keys() == ["a:int:k"]


def test_a_type_without_a_plain_name_needs_one() -> None:
    for type_ in (list[int], int | None, Any):
        with pytest.raises(CacheOptionError, match="has no name"):
            create_cache().of(type_)


@pytest.mark.parametrize("key", ["", "x" * 513, 5, None, b"k", "\ud800"])
async def test_what_is_no_key_is_refused_wherever_it_is_given(cache: Cache[Any], key: Any) -> None:
    async def compute() -> int:
        raise AssertionError

    for call in (
        lambda: cache.get(key),
        lambda: cache.set(key, 1),
        lambda: cache.get_many([key]),
        lambda: cache.delete(key),
        lambda: cache.exists(key),
        lambda: cache.touch(key),
        lambda: cache.get_or_set(key, compute),
    ):
        with pytest.raises(CacheKeyError):
            await call()


@pytest.mark.parametrize("key", ["x" * 512, "é" * 512, "a b\n", "🗝"])
async def test_any_other_text_is_a_key(cache: Cache[Any], key: str) -> None:
    await cache.of(int).set(key, 1)
    assert await cache.of(int).get(key) == 1


@pytest.mark.parametrize("tags", ["t", [""], [5], ["x" * 257], [str(n) for n in range(65)]])
async def test_what_is_no_tag_is_refused(cache: Cache[Any], tags: Any) -> None:
    with pytest.raises(CacheKeyError):
        await cache.set("k", 1, tags=tags)


@pytest.mark.parametrize("namespace", ["", "a:b", "{a}", "x" * 65, 5])
def test_what_is_no_namespace_is_refused(namespace: Any) -> None:
    with pytest.raises(CacheOptionError, match="namespace"):
        create_cache(namespace=namespace)


async def test_a_cache_must_be_open() -> None:
    cache = create_cache(default_ttl=5)
    with pytest.raises(NotOpenError):
        await cache.get("k")
    async with cache:
        await cache.set("k", 1)
    for call in (lambda: cache.get("k"), lambda: cache.set("k", 1), lambda: cache.delete("k")):
        with pytest.raises(NotOpenError):
            await call()


async def test_a_view_can_be_opened_like_the_cache_itself(store: MemoryCache) -> None:
    cache: Cache[Any] = Cache(store, default_ttl=5)
    async with cache.of(int) as numbers:
        async with cache:
            await numbers.set("k", 1)
        assert await numbers.get("k") == 1


async def test_caches_with_other_namespaces_do_not_meet(store: MemoryCache) -> None:
    async with (
        Cache[Any](store, namespace="one", default_ttl=5) as one,
        Cache[Any](store, namespace="two", default_ttl=5) as two,
    ):
        await one.set("k", 1)
        assert await two.get("k") is None
        assert await two.clear() == 0
        assert await one.get("k") == 1


async def test_switched_off_it_keeps_and_finds_nothing_and_still_deletes(cache: Cache[Any]) -> None:
    await cache.set("kept", 1)
    await cache.set("deleted", 1)
    with cache.disabled(), cache.of(int).disabled():
        assert await cache.get("kept") is None
        await cache.set("new", 1)
        assert await cache.delete("deleted")

        async def compute() -> int:
            return 2

        assert await cache.get_or_set("kept", compute) == 2
        assert not await cache.exists("kept")
    assert await cache.get_many(["kept", "new", "deleted"]) == {"kept": 1}


async def test_off_is_a_backend_too() -> None:
    async with create_cache("off://", default_ttl=5) as cache:
        await cache.set("k", 1)
        assert await cache.get("k") is None
        assert (await cache.stats()).entries == 0


async def test_the_other_names_of_delete(cache: Cache[Any]) -> None:
    await cache.set_many({"a": 1, "b": 2})
    assert await cache.remove("a")
    assert await cache.del_("b")
    assert await cache.delete_many(["a", "b"]) == 0


async def test_a_repr_says_what_it_is(cache: Cache[Any]) -> None:
    assert repr(cache) == "<Cache 'app' on memory>"
    assert repr(cache.of(User)) == "<Cache 'app' on memory, keys User:…>"
