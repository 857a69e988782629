"""What users hold: a cache of values of one type."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Generic, Self, TypeVar, cast, get_args, overload

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.durations import Duration, to_seconds
from undercroft.cache._counts import CacheStats, Counts
from undercroft.cache._envelope import FORMAT, MISFITS, Codec, rewrap
from undercroft.cache._errors import CacheMissError, CacheOptionError, CacheUnavailableError
from undercroft.cache._leased import LEASE_S
from undercroft.cache._lifetimes import Lifetimes, Ttl, window
from undercroft.cache._look import Found, judged, look, versions_of
from undercroft.cache._missing import MISSING
from undercroft.cache._names import MOST, check_key, check_namespace, check_tags
from undercroft.cache._protocol import CacheBackend, Item
from undercroft.cache._rules import Rules, Wanted, rules_of
from undercroft.cache._shared import Shared, new_token

T = TypeVar("T")
D = TypeVar("D")
V = TypeVar("V")
_LONG_S = 30.0
"""What a call that goes through many keys may take on top of the deadline."""


class Cache(Generic[T]):
    """A cache over a backend. Opened by `async with`, or by the `Infra` it belongs to; closing it ends what is being
    computed.

    Reads do not fail because of the store: what it does not tell is a miss, which is counted. Writes, `delete`,
    `clear` and `invalidate_tags` raise `CacheUnavailableError`, since a lost invalidation would be worse.

    Args:
        backend: Keeps the data; opened and closed by this cache.
        namespace: Keeps it apart from others in the same store; `clear` keeps to it.
        default_ttl: How long values live whose call says nothing; without it, every call has to say.
        jitter: Shortens each ttl by chance, by up to this share (0.1: up to a tenth), so that what is written together
            does not end together.
        schema: The type of the values, `Any` for whatever JSON has. See `of` for several types in one store.
        version: Of the schema: count it up when what is stored is not to be read any more.
        timeout: The deadline of each call of the store, where it is not in this process.
    """

    def __init__(
        self,
        backend: CacheBackend,
        *,
        namespace: str = "app",
        default_ttl: Ttl | None = None,
        jitter: float = 0.0,
        schema: Any = Any,
        version: int = 1,
        timeout: Duration = "250ms",
        clock: Clock | None = None,
    ) -> None:
        self._counts = Counts(check_namespace(namespace))
        self._shared = Shared(
            backend,
            namespace,
            clock=clock or SystemClock(),
            timeout_s=to_seconds(timeout, name="timeout"),
            on_error=self._counts.store_errors.add,
        )
        self._space = namespace
        self._prefix = ""
        self._codec: Codec[T] = Codec(schema, version=version)
        self._lifetimes = Lifetimes(default_ttl, jitter=jitter, random=self._shared.random)

    @property
    def backend(self) -> str:
        """Short name of the backend: `"redis"`, `"sqlite"`, `"memory"`."""
        return self._shared.backend.name

    @property
    def namespace(self) -> str:
        """What keeps it apart in the store."""
        return self._space

    async def __aenter__(self) -> Self:
        await self._shared.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._shared.close()

    def __repr__(self) -> str:
        return f"<Cache {self.namespace!r} on {self.backend}{f', keys {self._prefix}…' if self._prefix else ''}>"

    async def ping(self) -> None:
        """Return when the store answers.

        Raises:
            CacheUnavailableError: It does not.
        """
        await self._shared.real.insist(self._shared.backend.ping)

    @overload
    def of(
        self,
        schema: type[V],
        *,
        namespace: str | None = None,
        version: int = 1,
        default_ttl: Ttl | None = None,
        jitter: float | None = None,
    ) -> Cache[V]: ...

    @overload
    def of(
        self,
        schema: Any,
        *,
        namespace: str | None = None,
        version: int = 1,
        default_ttl: Ttl | None = None,
        jitter: float | None = None,
    ) -> Cache[Any]: ...

    def of(
        self,
        schema: Any,
        *,
        namespace: str | None = None,
        version: int = 1,
        default_ttl: Ttl | None = None,
        jitter: float | None = None,
    ) -> Cache[Any]:
        """Return a view for values of one type, on the same store. Costs some microseconds: make it once.

        Its keys are those of this cache that begin with `User:`; tags are shared. What is stored there and is not of
        this type and version is not there.

        Args:
            namespace: What its keys begin with here, instead of the type's name.
            version: Count it up when what is stored is not to be read any more.
            default_ttl: Instead of this cache's.
            jitter: Instead of this cache's.
        """
        name = schema.__name__ if isinstance(schema, type) and not get_args(schema) and schema is not Any else None
        if namespace is None and name is None:
            raise CacheOptionError(f"{schema} has no name for its keys", hint='give one: of(list[User], namespace="…")')
        part = check_namespace(namespace or name)
        lifetimes = Lifetimes(
            self._lifetimes.given if default_ttl is None else default_ttl,
            jitter=self._lifetimes.jitter if jitter is None else jitter,
            random=self._shared.random,
        )
        return self._view(Codec(schema, version=version), f"{self._prefix}{part}:", lifetimes)

    def with_codec(self, codec: Codec[V]) -> Cache[V]:
        """Return a view for values of another type under the same keys. `@cached` uses it."""
        return self._view(codec, self._prefix, self._lifetimes)

    def _view(self, codec: Codec[V], prefix: str, lifetimes: Lifetimes) -> Cache[V]:
        view: Cache[V] = object.__new__(Cache)
        view._shared, view._space = self._shared, self._space
        view._prefix, view._codec, view._lifetimes = prefix, codec, lifetimes
        is_same = prefix == self._prefix
        view._counts = self._counts if is_same else Counts(f"{self._space}:{prefix.removesuffix(':')}")
        return view

    # --- Reading ----------------------------------------------------------------------------------------------------

    @overload
    async def get(self, key: str) -> T | None: ...

    @overload
    async def get(self, key: str, default: D) -> T | D: ...

    async def get(self, key: str, default: Any = None) -> Any:
        """Return the fresh value under `key`, or `default`. `get(key, MISSING)` tells a stored `None` from none.

        Each call returns a value of its own: changing it does not change the cache. A value that cannot be read (of
        another type or version, damaged) is not there. Never fails because of the store.
        """
        # On the path of every request: nothing here is more than it has to be.
        if key.__class__ is not str or not 0 < len(key) <= MOST or not key.isascii():
            check_key(key)
        store = self._shared.store
        try:
            stored = await store.get(self._space, self._prefix + key)
        except CacheUnavailableError:
            return self._counted(Found(None, "unavailable"), default)
        if stored is None:
            self._counts.misses["absent"].add()
            return default
        try:
            envelope = self._codec.decode(stored)
        except MISFITS:
            return self._counted(Found(None, self._codec.misfit(stored)), default)
        if envelope.tags or envelope.format != FORMAT or envelope.version != self._codec.version:
            return self._counted((await self._judged([stored]))[0], default)
        fresh_for_s = envelope.fresh_for_s
        if fresh_for_s is not None and store.backend.time() >= envelope.written_at + fresh_for_s:
            self._counts.misses["expired"].add()
            return default
        self._counts.hits.add()
        return envelope.data

    async def require(self, key: str) -> T:
        """Return the fresh value under `key`.

        Raises:
            CacheMissError: There is none, or the store does not answer.
        """
        value = await self.get(key, MISSING)
        if value is MISSING:
            raise CacheMissError(
                f"there is nothing fresh under {key!r}",
                key=key,
                hint="get() returns a default instead; get_or_set() computes what is missing",
            )
        return value

    async def exists(self, key: str) -> bool:
        """Tell whether there is a fresh value that can be read. False when the store does not answer; not counted."""
        check_key(key)
        try:
            found = await look(self._shared.store, self._space, self._prefix + key, self._codec)
        except CacheUnavailableError:
            return False
        return found.is_fresh

    async def get_many(self, keys: Iterable[str]) -> dict[str, T]:
        """Return the fresh values there are, by key; in one round trip, and a second one if some have tags."""
        wanted = list(dict.fromkeys(keys))
        for key in wanted:
            check_key(key)
        if not wanted:
            return {}
        try:
            read = await self._shared.store.read(self._space, [self._prefix + key for key in wanted])
        except CacheUnavailableError:
            found = [Found(None, "unavailable")] * len(wanted)
        else:
            found = await self._judged(read.values)
        answers = {key: self._counted(one, MISSING) for key, one in zip(wanted, found, strict=True)}
        return {key: value for key, value in answers.items() if value is not MISSING}

    async def _judged(self, stored: Sequence[bytes | None]) -> list[Found]:
        """Say of what use these are; what the store does not tell of their tags makes them none."""
        opened = [self._codec.open(data) for data in stored]
        tags = tuple({tag: None for one in opened if not isinstance(one, str) for tag in one.tags or ()})
        store = self._shared.store
        versions: dict[str, str | None] | None = {}
        if tags:
            try:
                versions = versions_of(tags, (await store.read(self._space, (), tags)).versions)
            except CacheUnavailableError:
                versions = None
        now = store.time()
        return [judged(one, versions, now) for one in opened]

    def _counted(self, found: Found, default: Any) -> Any:
        if found.envelope is None or not found.is_fresh:
            self._counts.miss(found.reason)
            return default
        self._counts.hits.add()
        return found.envelope.data

    # --- Writing ----------------------------------------------------------------------------------------------------

    async def set(
        self,
        key: str,
        value: T,
        ttl: Ttl | None = None,
        *,
        ttl_ms: float | None = None,
        tags: Iterable[str] = (),
        stale: Duration | None = None,
    ) -> None:
        """Store a value, whatever was there. What is being computed for this key meanwhile is not stored over it.

        Args:
            ttl: How long it is fresh: seconds, a `timedelta`, text such as `"5m"`, or `NO_EXPIRY`.
            ttl_ms: The same in milliseconds.
            tags: What it depends on: `invalidate_tags` of one makes it invalid. If another process may invalidate one
                while the value is being made, use `get_or_set`, which reads the tags' versions before.
            stale: For how long after the ttl `get_or_set(stale=…)` and `stale_on_error` may serve it.

        Raises:
            MissingTTLError: There is no ttl, neither here nor as the cache's default.
            CacheOptionError: The ttl is 0, negative or no duration.
            CacheKeyError: The key or a tag is not valid.
            CacheValueError: The value has no JSON form, or would come back as something else.
            CacheUnavailableError: The store did not take it, or did not say so.
        """
        await self._set({key: value}, f"set({key!r})", ttl, ttl_ms, tags, stale)

    async def set_many(
        self,
        values: Mapping[str, T],
        ttl: Ttl | None = None,
        *,
        ttl_ms: float | None = None,
        tags: Iterable[str] = (),
        stale: Duration | None = None,
    ) -> None:
        """Store these values by key, in one round trip; not as one: others may see some of them first. See `set`."""
        await self._set(values, "set_many()", ttl, ttl_ms, tags, stale)

    async def _set(
        self,
        values: Mapping[str, T],
        call: str,
        ttl: Ttl | None,
        ttl_ms: float | None,
        tags: Iterable[str],
        stale: Duration | None,
    ) -> None:
        for key in values:
            check_key(key)
        rules = Rules(
            fresh_for_s=self._lifetimes.seconds(ttl, ttl_ms, call),
            stale_s=window(stale, "stale"),
            tags=check_tags(tags) if tags else (),
        )
        data = {key: self._codec.encode(value, what=call)[0] for key, value in values.items()}
        store, space = self._shared.store, self._space
        versions: dict[str, str | None] = {}
        if rules.tags:
            ttl_s = rules.kept_s(rules.fresh_for_s)
            made = await store.insist(lambda: store.backend.ensure_tags(space, rules.tags, ttl_s=ttl_s))
            versions = versions_of(rules.tags, made)
        items = [self._item(key, one, rules, versions) for key, one in data.items()]
        await store.insist(lambda: store.backend.write(space, items))

    def _item(self, key: str, data: bytes, rules: Rules, versions: Mapping[str, str | None]) -> Item:
        fresh_s = self._lifetimes.jittered(rules.fresh_for_s)
        stored = self._codec.wrap(data, written_at=self._shared.store.time(), fresh_for_s=fresh_s, tags=versions)
        return Item(self._prefix + key, stored, rules.kept_s(fresh_s))

    async def touch(self, key: str, ttl: Ttl | None = None, *, ttl_ms: float | None = None) -> bool:
        """Have a fresh value live until `ttl` from now, and tell whether it does.

        False when there is none, when it was written or deleted meanwhile, or when it is being computed anew.

        Raises:
            CacheUnavailableError: The store did not answer; it may live longer or not.
        """
        check_key(key)
        fresh_s = self._lifetimes.jittered(self._lifetimes.seconds(ttl, ttl_ms, f"touch({key!r})"))
        store, space, full, token = self._shared.store, self._space, self._prefix + key, new_token()
        # Under a lease: what is set or deleted meanwhile ends it, and is not written over.
        if not await store.insist(lambda: store.backend.take_lease(space, full, token, ttl_s=LEASE_S)):
            return False
        read = await store.insist(lambda: store.backend.read(space, (full,)))
        (found,) = await self._judged(read.values)
        if not found.is_fresh or read.values[0] is None:
            await store.insist(lambda: store.backend.end_lease(space, full, token))
            return False
        if found.envelope is not None and found.envelope.tags:
            tags = tuple(found.envelope.tags)
            await store.insist(lambda: store.backend.ensure_tags(space, tags, ttl_s=fresh_s))
        item = Item(full, rewrap(read.values[0], written_at=store.time(), fresh_for_s=fresh_s), fresh_s)
        return await store.insist(lambda: store.backend.write_leased(space, item, token))

    # --- Computing --------------------------------------------------------------------------------------------------

    @overload
    async def get_or_set(
        self,
        key: str,
        compute: Callable[[], Awaitable[T]],
        ttl: Ttl | None = None,
        *,
        ttl_ms: float | None = None,
        tags: Iterable[str] = (),
        stale: Duration | None = None,
        stale_on_error: Duration | None = None,
        early: float = 0.0,
        negative_ttl: Ttl | None = None,
        wait: Duration = 10,
        refresh: bool = False,
    ) -> T: ...

    @overload
    async def get_or_set(
        self,
        key: str,
        compute: Callable[[], Awaitable[T | None]],
        ttl: Ttl | None = None,
        *,
        ttl_ms: float | None = None,
        tags: Iterable[str] = (),
        stale: Duration | None = None,
        stale_on_error: Duration | None = None,
        early: float = 0.0,
        negative_ttl: Ttl | None = None,
        wait: Duration = 10,
        refresh: bool = False,
    ) -> T | None: ...

    async def get_or_set(
        self,
        key: str,
        compute: Callable[[], Awaitable[T | None]],
        ttl: Ttl | None = None,
        *,
        ttl_ms: float | None = None,
        tags: Iterable[str] = (),
        stale: Duration | None = None,
        stale_on_error: Duration | None = None,
        early: float = 0.0,
        negative_ttl: Ttl | None = None,
        wait: Duration = 10,
        refresh: bool = False,
    ) -> T | None:
        """Return the value under `key`, computed and stored if there is none that is fresh.

        However many ask at once, in this process and others that use the store, one computes and the others wait for
        it. What it raises is raised to all who waited. A value that is deleted, set or invalidated by a tag while it is
        being computed is returned and not stored. Never fails because of the store: then it just computes.

        Everybody gets a value of their own, which has been through JSON, the first one too.

        Cancellation: ends the wait only; the computation ends with the last who waits for it. A process that is killed
        while it computes is replaced after five seconds.

        Args:
            compute: Gives the value; runs in a task of its own, with the context of who asked first.
            ttl: How long it is fresh; see `set`.
            tags: What the value depends on; their versions are read before it is computed.
            stale: For how long after that it may still be served, at once, while it is computed anew beside.
            stale_on_error: For how long after it was fresh it may be served when computing fails, which is logged.
            early: Compute anew beside, by chance, before it ends, the sooner the longer computing takes; 1.0 is what
                the paper recommends (XFetch: Vattani, Chierichetti, Lowenstein, VLDB 2015), 0 is never.
            negative_ttl: How long the value `None` is fresh, if not for `ttl`; 0 does not store it.
            wait: How long to wait for another process that computes, before it is computed here as well, and not
                stored.
            refresh: Compute it whatever is stored.

        Raises:
            MissingTTLError: There is no ttl, neither here nor as the cache's default.
            CacheValueError: What was computed has no JSON form, or would come back as something else.
            ComputeCycleError: The value is made of itself.
        """
        if key.__class__ is not str or not 0 < len(key) <= MOST or not key.isascii():
            check_key(key)
        rules = rules_of(
            self._lifetimes.seconds(ttl, ttl_ms, f"get_or_set({key!r})"),
            stale=stale,
            stale_on_error=stale_on_error,
            early=early,
            negative_ttl=negative_ttl,
            tags=tags,
            wait=wait,
            refresh=refresh,
        )
        return await self.answer(key, compute, rules)

    def ttl_seconds(self, ttl: Ttl | None, ttl_ms: float | None, call: str) -> float | None:
        """Return a ttl, or this cache's default, in seconds; `None` is for ever. `@cached` uses it.

        Raises:
            MissingTTLError: There is neither.
            CacheOptionError: It is not valid.
        """
        return self._lifetimes.seconds(ttl, ttl_ms, call)

    async def answer(self, key: str, compute: Callable[[], Awaitable[T | None]], rules: Rules) -> T | None:
        """Do what `get_or_set` does, with options that are checked. `@cached` uses it."""
        wanted = Wanted(
            key=self._prefix + key,
            compute=compute,
            rules=rules,
            codec=self._codec,
            counts=self._counts,
            jittered=self._lifetimes.jittered,
            what=key,
        )
        return cast("T | None", await self._shared.computing.answer(self._shared.store, wanted))

    # --- Forgetting -------------------------------------------------------------------------------------------------

    async def delete(self, key: str) -> bool:
        """Forget a value, and tell whether there was one. What is being computed for it meanwhile is not stored.

        Raises:
            CacheUnavailableError: The store did not answer; the value may be there still.
        """
        return await self.delete_many((key,)) == 1

    async def delete_many(self, keys: Iterable[str]) -> int:
        """Forget these values, and return how many there were. See `delete`."""
        wanted = list(dict.fromkeys(keys))
        for key in wanted:
            check_key(key)
        real, full = self._shared.real, [self._prefix + key for key in wanted]
        return await real.insist(lambda: real.backend.delete(self._space, full)) if full else 0

    async def remove(self, key: str) -> bool:
        """The same as `delete`."""
        return await self.delete(key)

    async def del_(self, key: str) -> bool:
        """The same as `delete`."""
        return await self.delete(key)

    async def clear(self, *, prefix: str = "", dry_run: bool = False) -> int:
        """Forget every value of this cache whose key begins with `prefix`, and return how many there were.

        Nothing else in the store is touched: not what other namespaces hold, nor a queue in the same Redis. What is
        written while this runs may stay; what was being computed is not stored.

        Args:
            dry_run: Count only.

        Raises:
            CacheUnavailableError: The store did not answer; some may be there still.
        """
        if dry_run:
            return sum([1 async for _ in self.iter_keys(prefix=prefix)])
        real, begin = self._shared.real, self._prefix + prefix
        return await real.insist(lambda: real.backend.clear(self._space, prefix=begin), more_s=_LONG_S)

    async def invalidate_tags(self, *tags: str) -> None:
        """Make every value invalid that has one of these tags, in this cache's namespace, its views included.

        From when this returns, no such value is returned, also none that is being computed now.

        Raises:
            CacheUnavailableError: The store did not answer; they may be valid still.
        """
        checked = check_tags(tags)
        real = self._shared.real
        if checked:
            await real.insist(lambda: real.backend.invalidate_tags(self._space, checked))

    # --- Looking into it --------------------------------------------------------------------------------------------

    async def iter_keys(self, *, prefix: str = "") -> AsyncIterator[str]:
        """Yield the keys that begin with `prefix`, in no order, each once. Some may not be fresh any more.

        Raises:
            CacheUnavailableError: The store does not answer.
        """
        store, begin, own = self._shared.real, self._prefix + prefix, len(self._prefix)
        cursor: str | None = None
        seen: set[str] = set()
        while True:
            page = await store.insist(partial(store.backend.keys, self._space, prefix=begin, limit=500, cursor=cursor))
            for key in page.keys:
                if key not in seen:
                    seen.add(key)
                    yield key[own:]
            cursor = page.cursor
            if cursor is None:
                return

    async def list_keys(self, *, prefix: str = "", limit: int = 100) -> list[str]:
        """Return at most `limit` of the keys that begin with `prefix`. See `iter_keys`."""
        keys: list[str] = []
        async for key in self.iter_keys(prefix=prefix):
            if len(keys) >= limit:
                break
            keys.append(key)
        return keys

    async def stats(self) -> CacheStats:
        """Return what this cache did in this process, and how much its namespace holds."""
        counts, real = self._counts, self._shared.real
        try:
            held = await real.ask(lambda: real.backend.statistics(self._space), more_s=_LONG_S)
        except CacheUnavailableError:
            held = None
        return CacheStats(
            hits=counts.hits.value,
            misses=counts.misses.numbers(),
            computed=counts.computed.numbers(),
            coalesced=counts.coalesced.value,
            stale_served=counts.stale.numbers(),
            store_errors=counts.store_errors.value,
            entries=None if held is None else held.entries,
            size_bytes=None if held is None else held.size_bytes,
        )

    def disabled(self) -> AbstractContextManager[None]:
        """Switch this cache and its views off for a block, in the whole process: reads find nothing and writes keep
        nothing, so that everything is computed. Deleting goes on, so that nothing is wrong afterwards. For tests.
        """
        return self._shared.off()
