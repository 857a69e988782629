"""What every policy is: something that calls a function for you, and decides how."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, Protocol, TypeVar

from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import Kind, UndercroftError
from undercroft.resilience._errors import PolicyError

P = ParamSpec("P")
T = TypeVar("T")
Errors = type[BaseException] | tuple[type[BaseException], ...] | Callable[[Exception], bool]
"""Which errors: a type, several, or a function that tells."""


class Policy(Protocol):
    """Calls a function, and decides how. Yours fits a `Pipeline` too, when it has this one method."""

    async def call(self, fn: Callable[..., Awaitable[Any]], /, *args: Any, **kwargs: Any) -> Any:
        """Call `fn` with these arguments, as often as the policy says, and return or raise what came of it."""


class Decorating:
    """A policy that can be put on a function: `@policy`."""

    async def call(self, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `fn` under this policy."""
        raise NotImplementedError

    def __call__(self, fn: Callable[P, Awaitable[T]], /) -> Callable[P, Awaitable[T]]:
        """Return `fn` under this policy, with its signature.

        Raises:
            PolicyError: `fn` is not async.
        """
        require_async(fn)
        call = self.call

        @functools.wraps(fn)
        async def under_policy(*args: P.args, **kwargs: P.kwargs) -> T:
            return await call(fn, *args, **kwargs)

        return under_policy


def require_async(fn: object) -> None:
    """Raise `PolicyError` when `fn` is a plain function."""
    if inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None)):  # noqa: B004
        return
    raise PolicyError(
        f"{name_of(fn)} is not an async function, and policies call none but those",
        hint="write `async def`, or wrap it: `anyio.to_thread.run_sync` takes a function that blocks",
    )


def name_of(fn: object) -> str:
    """Return what a function is called, for messages, lines and labels."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    return str(getattr(fn, "__qualname__", None) or type(fn).__qualname__)


def is_transient(error: BaseException) -> bool:
    """Tell whether a retry may help, by the error's type alone.

    So it is for undercroft's errors of kind *unavailable*, for `ConnectionError` and for `TimeoutError`; never for
    undercroft's errors of another kind, whatever else they are.
    """
    if isinstance(error, UndercroftError):
        return error.kind is Kind.UNAVAILABLE
    return isinstance(error, ConnectionError | TimeoutError)


def error_filter(errors: Errors | None, *, default: Callable[[Exception], bool], what: str) -> Callable[[Any], bool]:
    """Return a function that tells whether an error is one of `errors`.

    Raises:
        PolicyError: `errors` is no type, no tuple of types and no function.
    """
    if errors is None:
        return default
    types = errors if isinstance(errors, tuple) else (errors,)
    if types and all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in types):
        return lambda error: isinstance(error, types)  # type: ignore[arg-type]  # the line before says so
    if callable(errors) and not isinstance(errors, type):
        return errors
    raise PolicyError(
        f"{what}={errors!r} names no errors",
        hint=f"{what}=ConnectionError, {what}=(ConnectionError, TimeoutError), or a function that takes the error",
    )


def whole(value: object, *, name: str, least: int, most: int) -> int:
    """Return `value`, a whole number from `least` to `most`, or raise `PolicyError`."""
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise PolicyError(f"{name}={value!r} is not a whole number from {least} to {most}")


def share(value: object, *, name: str) -> float:
    """Return `value`, a number over 0 and up to 1, or raise `PolicyError`."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1:
        return float(value)
    raise PolicyError(f"{name}={value!r} is not a share over 0 and up to 1", hint=f"half of the calls: {name}=0.5")


def seconds(value: Duration, *, name: str, least: float = 0.0, most: float = math.inf) -> float:
    """Return a duration in seconds, or raise `PolicyError` when it is out of range, `DurationError` when it is none."""
    found = to_seconds(value, name=name)
    if least <= found <= most:
        return found
    bounds = f"{least:g} s or more" if math.isinf(most) else f"from {least:g} s to {most:g} s"
    raise PolicyError(f"{name}={value!r} is out of range", hint=f"give {bounds}")
