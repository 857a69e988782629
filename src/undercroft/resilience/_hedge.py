"""A second attempt beside a slow one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Generic

import anyio
from anyio.abc import TaskGroup

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.durations import Duration, format_seconds
from undercroft.resilience._budget import RetryBudget
from undercroft.resilience._counts import HedgeCounts
from undercroft.resilience._policy import Decorating, P, T, seconds, share, whole

_REMEMBERED = 200
_ENOUGH = 20


class Hedge(Decorating):
    """Start another attempt beside a slow one, and take the first that succeeds.

    For reads, and for what may be done twice: both attempts may reach the service. Source: J. Dean and L. A. Barroso,
    "The Tail at Scale", CACM 56(2), 2013: hedged requests.

    The others are cancelled and have ended when the call returns. An attempt that fails while others run is passed
    over; the call fails when all that were started have failed, with the first one's error. It starts no attempt
    *because* one failed: that is what `Retry` is for. For one event loop; holds nothing that must be closed.

    Args:
        after: How long an attempt may take before the next one is started.
        max_attempts: How many run at once at most, the first included.
        percentile: Wait instead for as long as this share of the last 200 calls took: with 0.95, about one call in
            twenty is hedged. `after` holds until 20 are known.
        budget: A bound on all extra attempts together; share it with a `Retry`.
        name: In metrics; by default `hedge`.

    Raises:
        PolicyError: An argument is out of range.
        DurationError: Not a duration.
    """

    def __init__(
        self,
        after: Duration,
        *,
        max_attempts: int = 2,
        percentile: float | None = None,
        budget: RetryBudget | None = None,
        name: str = "hedge",
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.max_attempts = whole(max_attempts, name="max_attempts", least=2, most=10)
        self._after_s = seconds(after, name="after")
        self._percentile = None if percentile is None else share(percentile, name="percentile")
        self._budget = budget
        self._clock = clock or SystemClock()
        self._took: deque[float] = deque(maxlen=_REMEMBERED)
        self._counts = HedgeCounts()

    def __repr__(self) -> str:
        return f"Hedge({format_seconds(self._after_s)!r}, name={self.name!r})"

    @property
    def delay_s(self) -> float:
        """How long an attempt may take now before the next one is started, seconds."""
        if self._percentile is None or len(self._took) < _ENOUGH:
            return self._after_s
        took = sorted(self._took)
        return took[min(len(took) - 1, int(self._percentile * len(took)))]

    async def call(self, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `fn`, and once more when it is slow; return the first result.

        Raises:
            Exception: What the first attempt that failed raised, when all did.
        """
        if self._budget is not None:
            self._budget.deposit()
        race: _Race[T] = _Race(lambda: fn(*args, **kwargs))
        since, delay_s = self._clock.monotonic(), self.delay_s
        async with anyio.create_task_group() as tasks:
            race.start(tasks)
            while not race.is_over:
                with self._clock.cancel_after(delay_s if self._may_start(race) else None) as wait:
                    await race.wait_for_change()
                if wait.cancelled_caught and not race.is_over:
                    self._start_another(race, tasks)
            if race.running:  # a cancelled scope costs more than the whole race
                tasks.cancel_scope.cancel()
        if race.winner:
            self._counts.count(self.name, "won")
        if self._percentile is not None and race.has_result:
            self._took.append(self._clock.monotonic() - since)
        return race.result()

    def _may_start(self, race: _Race[Any]) -> bool:
        return race.started < self.max_attempts and not race.is_denied

    def _start_another(self, race: _Race[Any], tasks: TaskGroup) -> None:
        if self._budget is not None and not self._budget.withdraw():
            race.is_denied = True
            self._counts.count(self.name, "denied")
            return
        self._counts.count(self.name, "started")
        race.start(tasks)


class _Race(Generic[T]):
    """The attempts of one call."""

    def __init__(self, attempt: Callable[[], Awaitable[T]]) -> None:
        self._attempt = attempt
        self._changed = anyio.Event()
        self._results: list[T] = []
        self._errors: list[Exception] = []
        self.running = 0
        self.started = 0
        self.winner = 0
        """Which attempt was the first to succeed, from 0."""
        self.is_denied = False

    @property
    def has_result(self) -> bool:
        return bool(self._results)

    @property
    def is_over(self) -> bool:
        return self.has_result or not self.running

    def start(self, tasks: TaskGroup) -> None:
        self.running += 1
        tasks.start_soon(self._run, self.started)
        self.started += 1

    async def wait_for_change(self) -> None:
        await self._changed.wait()
        self._changed = anyio.Event()

    def result(self) -> T:
        if self._results:
            return self._results[0]
        if self._errors:
            raise self._errors[0]
        raise asyncio.CancelledError  # the function cancelled itself

    async def _run(self, number: int) -> None:
        try:
            result = await self._attempt()
        except Exception as exc:  # raised by `result`, when all fail
            self._errors.append(exc)
        else:
            if not self._results:
                self.winner = number
            self._results.append(result)
        finally:
            self.running -= 1
            self._changed.set()
