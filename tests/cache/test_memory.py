"""What is the memory backend's own: bounds, order of eviction, options."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft._core.clock import VirtualClock
from undercroft._core.errors import ConfigError
from undercroft._core.url import Url, UrlError
from undercroft.cache import Item, open_backend
from undercroft.cache._schemes import SCHEMES
from undercroft.cache.memory import MemoryCache
from undercroft.cache.memory._shelf import Shelf

pytestmark = pytest.mark.anyio
PLACES = [("s", key) for key in "abcdef"]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


async def test_what_was_not_used_for_longest_goes_first(clock: VirtualClock) -> None:
    store = MemoryCache(max_entries=3, clock=clock)
    await store.write("s", [Item(key, b"1", 60) for key in "abc"])
    await store.get("s", "a")
    await store.write("s", [Item("d", b"1", 60)])
    assert (await store.read("s", ["a", "b", "c", "d"])).values == (b"1", None, b"1", b"1")


async def test_bytes_are_bounded_too(clock: VirtualClock) -> None:
    store = MemoryCache(max_bytes=100, clock=clock)
    await store.write("s", [Item(key, b"x" * 39, None) for key in "abc"])
    assert (await store.read("s", ["a", "b", "c"])).values == (None, b"x" * 39, b"x" * 39)
    await store.write("s", [Item("b", b"x" * 200, None)])  # larger than all the room: not kept, nor what was there
    assert (await store.read("s", ["b", "c"])).values == (None, b"x" * 39)


async def test_what_has_expired_goes_by_itself(clock: VirtualClock) -> None:
    shelf = Shelf(clock.monotonic, max_entries=1000)
    for n in range(100):
        shelf.put(("s", f"old{n}"), b"1", 1)
    await clock.advance(2)
    for n in range(13):
        shelf.put(("s", f"new{n}"), b"1", 60)
    assert len(shelf._entries) == 13


def test_writing_one_key_for_ever_takes_no_room() -> None:
    shelf = Shelf(VirtualClock().monotonic, max_entries=10)
    for _ in range(10_000):
        shelf.put(("s", "a"), b"1", 60)
    assert len(shelf._due) < 100


async def test_a_tag_that_had_to_go_makes_entries_invalid_and_never_valid(clock: VirtualClock) -> None:
    store = MemoryCache(max_entries=2, clock=clock)
    (before,) = await store.ensure_tags("s", ["a"], ttl_s=60)
    await store.ensure_tags("s", ["b", "c"], ttl_s=60)
    assert (await store.read("s", [], ["a"])).versions == (None,)
    assert (await store.ensure_tags("s", ["a"], ttl_s=60)) != (before,)


async def test_two_lives_never_make_the_same_version(clock: VirtualClock) -> None:
    made = {(await MemoryCache(clock=clock).ensure_tags("s", ["a"], ttl_s=60))[0] for _ in range(10)}
    assert len(made) == 10


async def test_leases_that_nobody_ends_do_not_pile_up(clock: VirtualClock) -> None:
    store = MemoryCache(clock=clock)
    for n in range(5000):
        assert await store.take_lease("s", f"k{n}", "t", ttl_s=1)
        if n % 100 == 0:
            await clock.advance(1)
    assert len(store._leases._leases) <= 1200


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.sampled_from(PLACES), st.integers(0, 30), st.sampled_from([1.0, 5.0, None])),
            st.tuples(st.just("get"), st.sampled_from(PLACES)),
            st.tuples(st.just("drop"), st.sampled_from(PLACES)),
            st.tuples(st.just("wait"), st.sampled_from([0.5, 3.0])),
        ),
        max_size=60,
    )
)
def test_a_shelf_holds_what_was_put_there_last_and_keeps_its_bounds(steps: list[tuple]) -> None:  # type: ignore[type-arg]  # of several lengths
    now = 0.0
    shelf = Shelf(lambda: now, max_entries=4, max_bytes=60)
    model: dict[tuple[str, str], tuple[bytes, float]] = {}
    for step, *args in steps:
        if step == "put":
            place, size, ttl = args
            shelf.put(place, b"x" * size, ttl)
            model[place] = (b"x" * size, float("inf") if ttl is None else now + ttl)
        elif step == "get":
            found = shelf.get(args[0])
            data, ends = model.get(args[0], (None, 0.0))
            assert found is None or (found == data and now < ends)
        elif step == "drop":
            shelf.drop(args[0])
            model.pop(args[0], None)
        else:
            now += args[0]
        held = list(shelf.places("s"))
        assert len(held) <= 4
        assert sum(size + 1 for _, size in held) <= 60
        assert shelf._size == sum(len(e.data) + 1 for e in shelf._entries.values())


def opened(url: str) -> object:
    return open_backend(Url.parse(url), what="UNDERCROFT_CACHE")


def test_a_url_gives_its_bounds() -> None:
    assert isinstance(opened("memory://?max_entries=5&max_bytes=1000"), MemoryCache)


@pytest.mark.parametrize(
    "url", ["memory://host", "memory:///path", "memory://?max=5", "memory://?max_entries=0", "off://?x=1", "off://x"]
)
def test_a_wrong_url_is_an_error_that_names_the_setting(url: str) -> None:
    with pytest.raises(UrlError, match="UNDERCROFT_CACHE"):
        opened(url)


def test_an_unknown_scheme_is_an_error_with_near_names() -> None:
    with pytest.raises(ConfigError, match="UNDERCROFT_CACHE: the cache has no backend") as caught:
        opened("memry://")
    assert caught.value.near == ("memory",)


def test_every_scheme_of_redis_is_known() -> None:
    from undercroft.connections.redis._settings import SCHEMES as REDIS

    assert set(REDIS) <= set(SCHEMES.names)
