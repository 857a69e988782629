"""`@start_span("charge card")`: a span around each call of a function."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar, cast

from undercroft.monitoring._tracing._errors import SpanUsageError
from undercroft.monitoring._tracing._span import Span

P = ParamSpec("P")
R = TypeVar("R")


def measured(start: Callable[[], Span], function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` with a span from `start` around each call.

    Raises:
        SpanUsageError: It is a generator function: its work happens between its yields, in whatever context reads it.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise SpanUsageError(
            f"a span cannot be around {_name(function)}, a generator: it would be current in the code that reads it",
            hint="use `with start_span(...)` inside, around the part that works between two yields",
        )
    if _is_async(function):
        waited = cast("Callable[P, Awaitable[Any]]", function)

        @functools.wraps(function)
        async def run_async(*args: P.args, **kwargs: P.kwargs) -> Any:
            with start():
                return await waited(*args, **kwargs)

        return cast("Callable[P, R]", run_async)

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with start():
            return function(*args, **kwargs)

    return run


def _is_async(function: Callable[..., object]) -> bool:
    call = getattr(function, "__call__", None)  # noqa: B004 - what calling it gives, not whether it can be called
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _name(function: object) -> str:
    return str(getattr(function, "__qualname__", type(function).__name__))
