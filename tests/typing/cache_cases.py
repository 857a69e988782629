"""Values are of the cache's type, and a cached function is called as before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_type

from undercroft.cache import (
    MISSING,
    NO_EXPIRY,
    Cache,
    CacheBackend,
    CachedFunction,
    CacheStats,
    LocalTier,
    cached,
    create_cache,
    get_cache,
)
from undercroft.cache.memory import MemoryCache


@dataclass
class User:
    id: int


async def load() -> User:
    return User(1)


async def look_for() -> User | None:
    return None


async def number() -> int:
    return 1


def load_now() -> User:
    return User(1)


# making
backend: CacheBackend = MemoryCache()
cache = create_cache("redis://localhost", namespace="shop", default_ttl="5m", jitter=0.1, local=LocalTier(ttl="5s"))
assert_type(cache, Cache[Any])
users = cache.of(User, version=2)
assert_type(users, Cache[User])
assert_type(create_cache(schema=User), Cache[User])
assert_type(cache.of(list[User], namespace="lists"), Cache[list[User]])
assert_type(get_cache(), Cache[Any])
create_cache(default_ttl=None)
create_cache(default_ttl=b"5m")  # E: call-overload
create_cache("memory://", "shop")  # E: call-overload


async def reading() -> None:
    assert_type(await users.get("1"), User | None)
    assert_type(await users.get("1", User(0)), User)
    assert_type(await users.get("1", 0), User | int)
    found = await users.get("1", MISSING)
    if found is not MISSING:
        assert_type(found, User)
    assert_type(await users.require("1"), User)
    assert_type(await users.get_many(["1"]), dict[str, User])
    assert_type(await users.exists("1"), bool)
    assert_type(await users.stats(), CacheStats)
    (await users.get("1")).id  # E: union-attr
    await users.get(1)  # E: call-overload


async def writing() -> None:
    await users.set("1", User(1), "5m")
    await users.set("1", User(1), timedelta(minutes=5), tags=["users"], stale="1m")
    await users.set("1", User(1), ttl=NO_EXPIRY)
    await users.set("1", User(1), ttl_ms=60_000)
    await users.set("1", 5, "5m")  # E: arg-type
    await users.set("1", User(1), ttl="5m", tag="users")  # E: call-arg
    await users.set_many({"1": User(1)}, "5m")
    await users.set_many({"1": 1}, "5m")  # E: dict-item
    assert_type(await users.touch("1", "5m"), bool)
    assert_type(await users.delete("1"), bool)
    assert_type(await users.clear(prefix="a", dry_run=True), int)
    await users.invalidate_tags("a", "b")
    await users.clear("a")  # E: call-arg


async def computing() -> None:
    assert_type(await users.get_or_set("1", load, "5m", stale="1m", early=1.0, wait=5), User)
    assert_type(await users.get_or_set("1", look_for, "5m", negative_ttl=0), User | None)
    await users.get_or_set("1", number, "5m")  # E: arg-type
    await users.get_or_set("1", load_now, "5m")  # E: arg-type
    await users.get_or_set("1", load(), "5m")  # E: call-overload
    with users.disabled():
        pass


@cached(ttl="5m", key="user:{user_id}", tags=["users"])
async def load_user(user_id: int, *, lang: str = "en") -> User | None:
    return User(user_id)


async def calling() -> None:
    assert_type(await load_user(1, lang="de"), User | None)
    assert_type(await load_user.refresh(1), User | None)
    assert_type(await load_user.invalidate(1), bool)
    assert_type(load_user.key(user_id=1), str)
    assert_type(await load_user.uncached(1), User | None)
    await load_user("1")  # E: arg-type
    await load_user()  # E: call-arg
    await load_user.invalidate("1")  # E: arg-type
    load_user.key(1, 2)  # E: call-arg, arg-type


class Shop:
    @cached(ttl=5, ignore=("self",))
    async def price(self, item: str) -> float:
        return 1.0


async def methods(shop: Shop) -> None:
    assert_type(await shop.price("tea"), float)
    assert_type(await shop.price.refresh(item="tea"), float)
    await shop.price(5)  # E: arg-type
    await Shop.price(shop, "tea")
    bound: CachedFunction[[str], float] = shop.price


@cached(ttl=5)  # E: arg-type
def plain(user_id: int) -> int:
    return user_id


@cached("5m")  # E: call-arg
async def positional() -> int:
    return 1
