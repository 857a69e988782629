"""Functions whose results are cached."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from undercroft._core.bound import bind
from undercroft._core.clock import VirtualClock
from undercroft._core.errors import NotBoundError
from undercroft.cache import (
    Cache,
    CachedFunctionError,
    CacheKeyError,
    CacheOptionError,
    CacheValueError,
    MissingTTLError,
    cached,
    get_cache,
)
from undercroft.cache.memory import MemoryCache

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForCheckers

pytestmark = pytest.mark.anyio


@dataclass
class User:
    id: int
    name: str


class Parts:
    """What an `Infra` is to the face."""

    def __init__(self, cache: Cache[Any]) -> None:
        self._cache = cache

    def get_part(self, name: str) -> object:
        assert name == "cache"
        return self._cache

    def bind(self) -> AbstractContextManager[None]:
        return bind(self)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def cache(clock: VirtualClock) -> AsyncIterator[Cache[Any]]:
    async with Cache[Any](MemoryCache(clock=clock), clock=clock) as cache:
        yield cache


calls: list[object] = []


@pytest.fixture(autouse=True)
def no_calls() -> None:
    calls.clear()


async def test_a_result_is_computed_once_for_the_same_arguments(cache: Cache[Any]) -> None:
    @cached(ttl="1m", cache=cache)
    async def load(user_id: int, lang: str = "en", *, deep: bool = False) -> User:
        calls.append((user_id, lang, deep))
        return User(user_id, lang)

    assert [await load(1), await load(user_id=1), await load(1, "en"), await load(1, deep=False, lang="en")] == [
        User(1, "en")
    ] * 4
    assert calls == [(1, "en", False)]
    assert await load(1, "de") == User(1, "de")
    assert await load(1, deep=True) == User(1, "en")
    assert len(calls) == 3


async def test_the_key_names_the_function_and_its_arguments(cache: Cache[Any]) -> None:
    @cached(ttl=5, cache=cache, name="users.load")
    async def load(user_id: int, *more: str, **options: bool) -> int:
        return 1

    assert load.key(1) == "users.load:[1,[],{}]"
    assert load.key(1, "a", b=True, a=False) == 'users.load:[1,["a"],{"a":false,"b":true}]'
    assert load.key(1, "x" * 300) != load.key(1, "x" * 301)
    assert len(load.key(1, "x" * 3000)) <= 250
    with pytest.raises(TypeError):
        load.key()  # type: ignore[call-arg]

    @cached(ttl=5)
    async def plain() -> int:
        return 1

    assert plain.key().endswith("test_the_key_names_the_function_and_its_arguments.<locals>.plain:[]")


async def test_one_and_its_text_are_two_arguments(cache: Cache[Any]) -> None:
    @cached(ttl=5, cache=cache, name="f")
    async def f(x: object) -> int:
        return 1

    assert len({f.key(x) for x in (1, "1", 1.5, True, None, [1], {"1": 1})}) == 7


async def test_a_set_is_the_same_in_any_order(cache: Cache[Any]) -> None:
    @cached(ttl=5, cache=cache, name="f")
    async def f(x: set[str]) -> int:
        return 1

    assert f.key({"a", "b", "c"}) == f.key({"c", "b", "a"}) == 'f:[["a","b","c"]]'


async def test_a_key_may_be_a_template_or_a_function(cache: Cache[Any]) -> None:
    @cached(ttl=5, cache=cache, key="user:{user_id}")
    async def by_template(user_id: int, lang: str = "en") -> int:
        return 1

    @cached(ttl=5, cache=cache, key=lambda user, **_: f"user:{user.id}")
    async def by_function(user: User, lang: str = "en") -> int:
        return 1

    @cached(ttl=5, cache=cache, key="{user.id:03}:{lang!r}")
    async def by_attribute(user: User, lang: str = "en") -> int:
        return 1

    assert by_template.key(7) == "user:7"
    assert by_function.key(User(7, "Ada")) == "user:7"
    assert by_attribute.key(User(7, "Ada")) == "007:'en'"


async def test_two_calls_never_share_a_key_of_two_parts(cache: Cache[Any]) -> None:
    @cached(ttl=5, cache=cache, key="{a}:{b}")
    async def f(a: str, b: str) -> int:
        return 1

    assert f.key("x:y", "z") != f.key("x", "y:z")
    assert f.key("%3A", "") != f.key(":", "")


async def test_results_are_of_the_type_the_function_returns(cache: Cache[Any]) -> None:
    @cached(ttl=5, cache=cache)
    async def pair(n: int) -> tuple[int, User | None]:
        return (n, User(n, "Ada"))

    assert await pair(1) == await pair(1) == (1, User(1, "Ada"))

    @cached(ttl=5, cache=cache)
    async def untyped(n: int):  # type: ignore[no-untyped-def]
        return (n, n)

    with pytest.raises(CacheValueError, match="return annotation"):
        await untyped(1)


async def test_a_function_can_be_invalidated_refreshed_and_called_without_the_cache(cache: Cache[Any]) -> None:
    @cached(ttl=5, cache=cache)
    async def count(name: str) -> int:
        calls.append(name)
        return len(calls)

    assert await count("a") == 1
    assert await count.uncached("a") == 2
    assert await count("a") == 1
    assert await count.refresh("a") == 3
    assert await count("a") == 3
    assert await count.invalidate("a")
    assert not await count.invalidate("a")
    assert await count("a") == 4
    assert await cache.delete(count.key("a"))


async def test_tags_are_templates_too(cache: Cache[Any]) -> None:
    @cached(ttl=5, cache=cache, tags=["users", "user:{user_id}"])
    async def load(user_id: int) -> int:
        calls.append(user_id)
        return len(calls)

    @cached(ttl=5, cache=cache, tags=lambda user_id: [f"user:{user_id}"])
    async def other(user_id: int) -> int:
        calls.append(user_id)
        return len(calls)

    assert [await load(1), await load(2), await other(1)] == [1, 2, 3]
    await cache.invalidate_tags("user:1")
    assert [await load(1), await load(2), await other(1)] == [4, 2, 5]
    await cache.invalidate_tags("users")
    assert [await load(1), await load(2), await other(1)] == [6, 7, 5]


class Shop:
    def __init__(self, name: str) -> None:
        self.name = name

    @cached(ttl=5, ignore=("self",))
    async def price(self, item: str) -> str:
        calls.append(item)
        return f"{self.name} {item}"

    @cached(ttl=5, key="{self.name}:{item}")
    async def stock(self, item: str) -> str:
        return f"{self.name} {item}"

    @cached(ttl=5)
    async def careless(self, item: str) -> str:
        return item


async def test_methods_leave_self_out_only_if_asked(cache: Cache[Any]) -> None:
    with Parts(cache).bind():
        one, two = Shop("one"), Shop("two")
        assert await one.price("tea") == await two.price(item="tea") == "one tea"
        assert calls == ["tea"]
        assert await two.price.refresh("tea") == "two tea"
        assert await one.price.uncached("tea") == "one tea"
        assert await one.price.invalidate("tea")
        assert await one.stock("tea") == "one tea"
        assert await two.stock("tea") == "two tea"
        with pytest.raises(CacheKeyError, match="'self', a Shop") as caught:
            await one.careless("tea")
        assert "ignore=('self',)" in str(caught.value)


async def test_the_bound_cache_is_looked_up_when_it_is_called(cache: Cache[Any], clock: VirtualClock) -> None:
    @cached(ttl=5)
    async def count() -> int:
        calls.append(1)
        return len(calls)

    with pytest.raises(NotBoundError):
        await count()
    async with Cache[Any](MemoryCache(clock=clock), clock=clock) as other:
        for where, expected in ((cache, 1), (other, 2), (cache, 1), (other, 2)):
            with Parts(where).bind():
                assert get_cache() is where
                assert await count() == expected


async def test_the_ttl_may_be_the_cache_s(cache: Cache[Any], clock: VirtualClock) -> None:
    @cached()
    async def count() -> int:
        return 1

    with Parts(cache).bind(), pytest.raises(MissingTTLError, match="count"):
        await count()
    async with Cache[Any](MemoryCache(clock=clock), default_ttl=5, clock=clock) as other:
        with Parts(other).bind():
            assert await count() == 1


def test_a_plain_function_is_refused() -> None:
    def load(user_id: int) -> int:
        return user_id

    with pytest.raises(CachedFunctionError, match="not an async function"):
        cached(ttl=5)(load)  # type: ignore[arg-type]


async def load(user_id: int) -> int:
    return user_id


@pytest.mark.parametrize(
    "options",
    [{"key": "{user}"}, {"key": "{}"}, {"key": "{user_id"}, {"tags": ["{user}"]}, {"ignore": ("user",)}],
)
def test_what_names_no_parameter_is_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(CachedFunctionError):
        cached(ttl=5, **options)(load)


def test_a_wrong_ttl_is_refused_at_once() -> None:
    with pytest.raises(CacheOptionError):
        cached(ttl=0)


async def test_an_annotation_that_cannot_be_resolved_is_an_error(cache: Cache[Any]) -> None:
    @cached(ttl=5, cache=cache)
    async def f() -> OnlyForCheckers: ...  # type: ignore[empty-body]

    with pytest.raises(CachedFunctionError, match="TYPE_CHECKING"):
        await f()


async def test_it_looks_like_the_function() -> None:
    @cached(ttl=5)
    async def f() -> None:
        """Do it."""

    assert (f.__name__, f.__doc__) == ("f", "Do it.")
    assert repr(f).startswith("<cached ")
