"""Faults on purpose, for drills."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.durations import Duration
from undercroft.resilience._errors import InjectedFaultError, PolicyError
from undercroft.resilience._policy import Decorating, P, T, seconds


class Chaos(Decorating):
    """Make some calls fail, and some slow, to see what the policies around it do. For drills and tests.

    Innermost in a `Pipeline`, it stands for the service. It does nothing before `is_on` is true, and that may be
    changed while it is used: a drill is begun and ended with it. For any number of calls at once.

    Args:
        failure_rate: The share of calls that fail, from 0 to 1. They are not made.
        error: Makes the error; by default `InjectedFaultError`.
        latency: By how much slow calls are slowed down, before they are made or fail.
        latency_rate: The share of calls that are slow; by default, with a latency, all.
        random: Gives numbers from 0 up to 1.

    Raises:
        PolicyError: A share is not from 0 to 1.
        DurationError: Not a duration.
    """

    def __init__(
        self,
        *,
        failure_rate: float = 0.0,
        error: Callable[[], Exception] | None = None,
        latency: Duration = 0,
        latency_rate: float = 1.0,
        is_on: bool = False,
        clock: Clock | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        self.is_on = is_on
        self._failure_rate = _share(failure_rate, "failure_rate")
        self._latency_rate = _share(latency_rate, "latency_rate")
        self._latency_s = seconds(latency, name="latency")
        self._error = error or _fault
        self._clock = clock or SystemClock()
        self._random = random

    async def call(self, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `fn`, perhaps late, or fail instead."""
        if self.is_on:
            if self._latency_s and self._random() < self._latency_rate:
                await self._clock.sleep(self._latency_s)
            if self._random() < self._failure_rate:
                raise self._error()
        return await fn(*args, **kwargs)


def _fault() -> Exception:
    return InjectedFaultError("a fault that was injected by Chaos")


def _share(value: object, name: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise PolicyError(f"{name}={value!r} is not a share from 0 to 1", hint=f"a tenth of the calls: {name}=0.1")
