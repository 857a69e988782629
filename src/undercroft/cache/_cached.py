"""Functions whose results are cached."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial, update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast, get_type_hints, overload

import msgspec

from undercroft._core.bound import BoundPart
from undercroft._core.durations import Duration
from undercroft.cache._arguments import Arguments, Template, short
from undercroft.cache._envelope import Codec
from undercroft.cache._errors import CachedFunctionError
from undercroft.cache._facade import Cache
from undercroft.cache._lifetimes import Ttl, positive
from undercroft.cache._names import check_tags
from undercroft.cache._rules import Rules, rules_of

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
Function = Callable[P, Coroutine[Any, Any, R]]
Named = Mapping[str, Any]
bound_cache = BoundPart[Cache[Any]]("cache")


class CachedFunction(Generic[P, R]):
    """An async function whose results are cached. Made by `cached`; holds nothing but its definition.

    Calling it returns what is cached, or runs the function; see `Cache.get_or_set` for how.
    """

    __name__: str
    uncached: Function[P, R]
    """The function itself."""

    def __init__(self, definition: _Definition, function: Function[P, R], owner: tuple[Any, ...] = ()) -> None:
        self._definition = definition
        self._owner = owner
        self.uncached = function
        update_wrapper(cast("Any", self), function)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return cast("R", await self._answer(args, kwargs, refresh=False))

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function with these arguments, whatever is cached, and cache what it returns."""
        return cast("R", await self._answer(args, kwargs, refresh=True))

    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget the result for these arguments, and tell whether there was one.

        Raises:
            CacheUnavailableError: The store did not answer; it may be there still.
        """
        return await self._definition.cache().delete(self.key(*args, **kwargs))

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the key of the result for these arguments.

        Raises:
            CacheKeyError: One of them cannot be part of a key.
        """
        return self._definition.key((*self._owner, *args), kwargs)[0]

    async def _answer(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, refresh: bool) -> Any:
        key, arguments = self._definition.key((*self._owner, *args), kwargs)
        cache, rules = self._definition.prepared(arguments, refresh=refresh)
        return await cache.answer(key, partial(self.uncached, *args, **kwargs), rules)

    @overload
    def __get__(self, instance: None, owner: type) -> CachedFunction[P, R]: ...

    @overload
    def __get__(
        self: CachedFunction[Concatenate[Any, Q], R], instance: object, owner: type | None = None
    ) -> CachedFunction[Q, R]: ...

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        if instance is None:
            return self
        method = partial(cast("Any", self.uncached), instance)
        return CachedFunction(self._definition, update_wrapper(method, self.uncached), (instance,))

    def __repr__(self) -> str:
        return f"<cached {self._definition.name}>"


class _Options(msgspec.Struct, frozen=True, kw_only=True):
    """What `cached` was given."""

    ttl: Ttl | None
    ttl_ms: float | None
    stale: Duration | None
    stale_on_error: Duration | None
    early: float
    negative_ttl: Ttl | None
    wait: Duration

    def rules(self, cache: Cache[Any], *, call: str) -> Rules:
        """Return them as rules; the cache may have a ttl for those who have none."""
        return rules_of(
            cache.ttl_seconds(self.ttl, self.ttl_ms, call),
            stale=self.stale,
            stale_on_error=self.stale_on_error,
            early=self.early,
            negative_ttl=self.negative_ttl,
            tags=(),
            wait=self.wait,
            refresh=False,
        )


class _Definition:
    """What is the same for a cached function and its bound methods."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str,
        key: str | Callable[..., str] | None,
        tags: Iterable[str] | Callable[..., Iterable[str]],
        ignore: Iterable[str],
        version: int,
        cache: Cache[Any] | None,
        options: _Options,
    ) -> None:
        self.name = name
        self._arguments = Arguments(function, what=name, ignore=ignore)
        self._key = Template(key, self._arguments) if isinstance(key, str) else _called(key) if key else None
        self._tags = _tags_of(tags, self._arguments)
        self._cache = cache
        self._options = options
        self._codec = partial(_codec_of, function, what=name, version=version)
        self._prepared: tuple[Cache[Any], Cache[Any], Rules] | None = None

    def cache(self) -> Cache[Any]:
        """Return the cache that was given, or that of the bound `Infra`."""
        return bound_cache.require() if self._cache is None else self._cache

    def key(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[str, Named]:
        """Return the key of a call, and its arguments by parameter."""
        arguments = self._arguments.bind(args, kwargs)
        return (self._arguments.key(arguments) if self._key is None else short(self._key(arguments))), arguments

    def prepared(self, arguments: Named, *, refresh: bool) -> tuple[Cache[Any], Rules]:
        """Return a view for the function's results, and the rules of a call."""
        cache = self.cache()
        if self._prepared is None or self._prepared[0] is not cache:
            view = cache.with_codec(self._codec())
            self._prepared = (cache, view, self._options.rules(cache, call=f"@cached {self.name}"))
        _, view, rules = self._prepared
        if self._tags is not None:
            rules = msgspec.structs.replace(rules, tags=check_tags(self._tags(arguments)))
        return view, msgspec.structs.replace(rules, is_refresh=True) if refresh else rules


def _codec_of(function: Callable[..., Any], *, what: str, version: int) -> Codec[Any]:
    try:
        result = get_type_hints(function, include_extras=True).get("return", Any)
    except NameError as exc:
        raise CachedFunctionError(
            f"{what}: an annotation cannot be resolved: {exc}",
            hint="define the type at module level, where the function is, and not only under TYPE_CHECKING",
        ) from exc
    return Codec(result, version=version)


def cached(
    *,
    ttl: Ttl | None = None,
    ttl_ms: float | None = None,
    key: str | Callable[..., str] | None = None,
    name: str | None = None,
    tags: Iterable[str] | Callable[..., Iterable[str]] = (),
    stale: Duration | None = None,
    stale_on_error: Duration | None = None,
    early: float = 0.0,
    negative_ttl: Ttl | None = None,
    wait: Duration = 10,
    ignore: Iterable[str] = (),
    version: int = 1,
    cache: Cache[Any] | None = None,
) -> Callable[[Function[P, R]], CachedFunction[P, R]]:
    """Cache the results of an async function: `@cached(ttl="5m", key="user:{user_id}")`.

    Results are of the type that the function says it returns, and what is stored and does not fit it is not there; a
    function without a return annotation must return what JSON has. The cache is looked up when the function is called.

    Args:
        key: Of a call's result: text with parameters in braces, or a function that takes what this one takes. Without
            it, the function's name and its arguments as JSON, defaults included. Long keys are hashed.
        name: Stands for the function in such keys, instead of `module.qualname`, which a rename changes.
        tags: Of a call's result; texts with parameters in braces, or a function that takes what this one takes.
        ignore: Parameters that make no difference to the result: `ignore=("self",)`.
        version: Count it up when what is stored is not to be read any more.
        cache: Instead of the one of the bound `Infra`.

    The others are those of `Cache.get_or_set`.

    Raises:
        CachedFunctionError: The function is not async, or `key`, `tags` or `ignore` name a parameter that it lacks.
        CacheOptionError: A duration is not valid.
    """
    if ttl is not None:
        positive(ttl, "ttl")
    options = _Options(
        ttl=ttl,
        ttl_ms=ttl_ms,
        stale=stale,
        stale_on_error=stale_on_error,
        early=early,
        negative_ttl=negative_ttl,
        wait=wait,
    )

    def decorate(function: Function[P, R]) -> CachedFunction[P, R]:
        called = name or f"{function.__module__}.{function.__qualname__}"
        if not inspect.iscoroutinefunction(function):
            raise CachedFunctionError(
                f"@cached on {called}, which is not an async function",
                hint="make it `async def`; for what only takes processor time there is functools.lru_cache",
            )
        definition = _Definition(
            function, name=called, key=key, tags=tags, ignore=ignore, version=version, cache=cache, options=options
        )
        return CachedFunction(definition, function)

    return decorate


def _called(function: Callable[..., Any]) -> Callable[[Named], Any]:
    return lambda arguments: function(**arguments)


def _tags_of(
    tags: Iterable[str] | Callable[..., Iterable[str]], arguments: Arguments
) -> Callable[[Named], Iterable[str]] | None:
    if callable(tags):
        return _called(tags)
    templates = [Template(tag, arguments) for tag in ((tags,) if isinstance(tags, str) else tags)]
    return (lambda named: [template(named) for template in templates]) if templates else None
