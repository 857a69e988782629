"""Measures how long something takes, by the monotonic clock."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, Self, TypeVar, cast

from undercroft.monitoring._errors import MetricDeclarationError

P = ParamSpec("P")
R = TypeVar("R")


class Timer:
    """Observes the seconds that a block or a function takes, also when it raises.

    As a context manager it measures one block at a time, and `elapsed_s` tells the last one's seconds; make one for
    each block that runs at the same time. As a decorator it measures every call, of functions and of `async` ones.
    """

    def __init__(self, observe: Callable[[float], None], monotonic: Callable[[], float]) -> None:
        self._observe = observe
        self._monotonic = monotonic
        self._started = 0.0
        self.elapsed_s: float | None = None
        """Of the last block that ended; `None` before."""

    def __enter__(self) -> Self:
        self._started = self._monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.elapsed_s = self._monotonic() - self._started
        self._observe(self.elapsed_s)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return `function`, measured.

        Raises:
            MetricDeclarationError: It is a generator: its call takes no time, and its values are taken at leisure.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise MetricDeclarationError(
                f"{function.__qualname__} is a generator, which a timer does not measure", hint="time the block within"
            )
        if inspect.iscoroutinefunction(function):
            return cast("Callable[P, R]", self._measured_async(function))
        return self._measured(function)

    def _measured(self, function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def measured(*args: P.args, **kwargs: P.kwargs) -> R:
            started = self._monotonic()
            try:
                return function(*args, **kwargs)
            finally:
                self._observe(self._monotonic() - started)

        return measured

    def _measured_async(self, function: Callable[P, Any]) -> Callable[P, Any]:
        @functools.wraps(function)
        async def measured(*args: P.args, **kwargs: P.kwargs) -> Any:
            started = self._monotonic()
            try:
                return await function(*args, **kwargs)
            finally:
                self._observe(self._monotonic() - started)

        return measured
