"""One check, run to its end or its timeout."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import anyio
import anyio.to_thread

from undercroft._core.clock import Clock
from undercroft._core.durations import format_seconds
from undercroft.health._definition import HealthCheck
from undercroft.health._history import CheckHistory, Observe
from undercroft.health._outcome import read_failure, read_outcome, unhealthy
from undercroft.health._result import HealthResult
from undercroft.health._status import HealthStatus
from undercroft.logging import Logger

_GRACE_S = 0.25
"""What a cancelled checker gets to clean up before it is abandoned; seconds of the event loop, whatever the clock."""

_log = Logger(module="undercroft.health")


class RegisteredCheck:
    """A check, its timeout, its past, and its calls that are still going on. Lives as long as it is registered."""

    def __init__(
        self, check: HealthCheck[Any], *, timeout_s: float, clock: Clock, observe: Observe | None = None
    ) -> None:
        self.check = check
        self.history = CheckHistory(check.name, clock=clock, observe=observe)
        self.has_passed = False
        """Whether it was once found healthy or degraded."""
        self._timeout_s = timeout_s
        self._clock = clock
        self._shared: _Call | None = None
        self._tasks: list[tuple[asyncio.Task[HealthResult], float]] = []
        self._thread_calls: list[_ThreadCall] = []

    async def run(self, limiter: anyio.CapacityLimiter, *, max_age_s: float) -> HealthResult:
        """Return what the check found, within its timeout and the grace. Raises nothing but cancellation.

        With a `max_age_s` above zero, a kept result that is not older is taken, and a call that goes on is shared.
        """
        if max_age_s > 0:
            kept = self.history.last(max_age_s=max_age_s)
            if kept is not None:
                return kept
            if self._shared is not None:
                return await self._wait_for(self._shared)
        started_s = self._clock.monotonic()
        hung_for = self._hung_for(started_s)
        if hung_for is not None:
            return self._keep(unhealthy(f"still hung after {_rounded(hung_for)}, and not started again"), started_s)
        return await self._wait_for(self._start(limiter, started_s))

    def _start(self, limiter: anyio.CapacityLimiter, started_s: float) -> _Call:
        # Not in a task group: it would wait for a checker that refuses to end, and the report with it. The task ends
        # itself at the timeout; one that does not is kept here, and no other is started until it is gone.
        task = asyncio.create_task(self._run_in_time(limiter), name=f"health check {self.check.name}")
        self._tasks.append((task, started_s))
        self._shared = _Call(task, started_s)
        return self._shared

    async def _wait_for(self, call: _Call) -> HealthResult:
        call.waiting += 1
        try:
            with self._clock.cancel_after(max(0.0, call.started_s + self._timeout_s - self._clock.monotonic())):
                await asyncio.wait({call.task})
            await asyncio.wait({call.task}, timeout=_GRACE_S)
        except asyncio.CancelledError:
            if call.waiting == 1:  # nobody else wants it
                await self._give_up(call)
            raise
        finally:
            call.waiting -= 1
        return self._settled(call)

    async def _give_up(self, call: _Call) -> None:
        if self._shared is call:
            self._shared = None
        call.task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait({call.task}, timeout=_GRACE_S)

    def _settled(self, call: _Call) -> HealthResult:
        """Return the result of a call that was waited for; the first who asks keeps it."""
        if self._shared is call:
            self._shared = None
        if call.result is None:
            if not call.task.done():
                result = self._late()
            elif call.task.cancelled():
                result = read_failure(asyncio.CancelledError())
            else:
                result = call.task.result()
            call.result = self._keep(result, call.started_s)
        return call.result

    def _keep(self, result: HealthResult, started_s: float) -> HealthResult:
        latency_ms = round((self._clock.monotonic() - started_s) * 1000, 3)
        check = self.check
        result = replace(result, latency_ms=latency_ms, critical=check.critical, component_type=check.component_type)
        self.has_passed = self.has_passed or result.status is not HealthStatus.UNHEALTHY
        return self.history.add(result)

    async def _run_in_time(self, limiter: anyio.CapacityLimiter) -> HealthResult:
        result = self._late()
        with self._clock.cancel_after(self._timeout_s) as scope:
            result = await self._outcome(limiter)
        # Not `cancelled_caught`: a checker that swallowed the cancellation and returned was late all the same.
        return self._late() if scope.cancel_called else result

    async def _outcome(self, limiter: anyio.CapacityLimiter) -> HealthResult:
        try:
            return read_outcome(await self._call(limiter))
        except asyncio.CancelledError as exc:
            if _is_being_cancelled():
                raise
            return read_failure(exc)  # the checker's own: it awaited something that someone else cancelled
        except Exception as exc:
            _log.debug("health check raised", exc, check=self.check.name)
            return read_failure(exc)

    async def _call(self, limiter: anyio.CapacityLimiter) -> object:
        function = self.check.function
        if _is_async(function):
            outcome: object = function()
        else:
            call = _ThreadCall(function=function, asked_s=self._clock.monotonic())
            self._thread_calls.append(call)
            # Abandoned when cancelled: a thread cannot be stopped, and nobody shall wait for it.
            outcome = await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=limiter)
        return await outcome if inspect.isawaitable(outcome) else outcome

    def _late(self) -> HealthResult:
        return unhealthy(f"timed out after {format_seconds(self._timeout_s)}")

    def _hung_for(self, now: float) -> float | None:
        """Return for how long a call of an earlier run is going on, if that is longer than it may."""
        self._tasks = [(task, since) for task, since in self._tasks if not task.done()]
        self._thread_calls = [call for call in self._thread_calls if call.may_go_on(now - self._timeout_s)]
        since_s = [since for _, since in self._tasks] + [call.asked_s for call in self._thread_calls if call.is_started]
        longest = now - min(since_s, default=now)
        return longest if longest >= self._timeout_s else None


@dataclass(slots=True, eq=False)
class _Call:
    """One call of the checker, which several runs may wait for."""

    task: asyncio.Task[HealthResult]
    started_s: float
    waiting: int = 0
    result: HealthResult | None = None


@dataclass(slots=True)
class _ThreadCall:
    """A function to call in a thread, which tells from outside how far it is."""

    function: Callable[[], object]
    asked_s: float
    is_started: bool = False
    is_done: bool = False

    def __call__(self) -> object:
        self.is_started = True
        try:
            return self.function()
        finally:
            self.is_done = True

    def may_go_on(self, latest_s: float) -> bool:
        """Tell whether this runs, or may yet start: one cancelled before its thread began never will."""
        return not self.is_done and (self.is_started or self.asked_s > latest_s)


def _is_async(function: Callable[[], object]) -> bool:
    while isinstance(function, HealthCheck | functools.partial):
        function = function.function if isinstance(function, HealthCheck) else function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _rounded(seconds: float) -> str:
    return format_seconds(seconds if seconds < 1 else round(seconds))
