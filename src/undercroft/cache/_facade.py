"""What users hold: a cache of values of one type."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Self, TypeVar, cast, get_args, overload

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.durations import Duration, to_seconds
from undercroft.cache._counts import Counts
from undercroft.cache._envelope import Codec
from undercroft.cache._errors import CacheOptionError
from undercroft.cache._lifetimes import Lifetimes, Ttl
from undercroft.cache._names import MOST, check_key, check_namespace
from undercroft.cache._protocol import CacheBackend
from undercroft.cache._rules import Rules, Wanted, rules_of
from undercroft.cache._shared import Shared
from undercroft.cache._writing import Writes

T = TypeVar("T")
V = TypeVar("V")


class Cache(Writes[T]):
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

    def disabled(self) -> AbstractContextManager[None]:
        """Switch this cache and its views off for a block, in the whole process: reads find nothing and writes keep
        nothing, so that everything is computed. Deleting goes on, so that nothing is wrong afterwards. For tests.
        """
        return self._shared.off()

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
