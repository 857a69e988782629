"""An answer for when there is none."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar, cast

from undercroft.resilience._counts import FallbackCounts
from undercroft.resilience._errors import BulkheadFullError
from undercroft.resilience._policy import Errors, P, T, error_filter, is_transient, require_async

F = TypeVar("F")


class Fallback(Generic[F]):
    """Answer a call that failed with something else. Immutable; for any number of calls at once.

    Args:
        to: The answer; or a function, async or not, that is called with the error and returns it. What the function
            raises is raised, from the error.
        on: Which errors: types, or a function that tells. By default those that say that the service is away:
            `is_transient`, and `BulkheadFullError`. Mistakes of the caller are raised as ever.
        name: In metrics; by default `fallback`.

    Raises:
        PolicyError: `on` names no errors.
    """

    def __init__(
        self,
        to: Callable[[Exception], Awaitable[F]] | Callable[[Exception], F] | F,
        *,
        on: Errors | None = None,
        name: str = "fallback",
    ) -> None:
        self._to = to
        self._wanted = error_filter(on, default=_is_away, what="on")
        self._counts = FallbackCounts(name)

    async def call(self, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T | F:
        """Call `fn`, and return the fallback when it raises one of the errors."""
        try:
            return await fn(*args, **kwargs)
        except Exception as exc:
            if not self._wanted(exc):
                raise
            self._counts.used.increment()
            to: Any = self._to
            answer = to(exc) if callable(to) else to
            return cast("F", await answer if inspect.isawaitable(answer) else answer)

    def __call__(self, fn: Callable[P, Awaitable[T]], /) -> Callable[P, Awaitable[T | F]]:
        """Return `fn` with this fallback, with its signature.

        Raises:
            PolicyError: `fn` is not async.
        """
        import functools

        require_async(fn)

        @functools.wraps(fn)
        async def with_fallback(*args: P.args, **kwargs: P.kwargs) -> T | F:
            return await self.call(fn, *args, **kwargs)

        return with_fallback


def _is_away(error: Exception) -> bool:
    return isinstance(error, BulkheadFullError) or is_transient(error)
