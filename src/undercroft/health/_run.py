"""One check, run to its end or its timeout."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace

import anyio
import anyio.to_thread

from undercroft._core.clock import Clock
from undercroft._core.durations import format_seconds
from undercroft.health._definition import HealthCheck
from undercroft.health._outcome import read_failure, read_outcome, unhealthy
from undercroft.health._report import HealthResult
from undercroft.logging import Logger

_GRACE_S = 0.25
"""What a cancelled checker gets to clean up before it is abandoned; seconds of the event loop, whatever the clock."""

_log = Logger(module="undercroft.health")


class RegisteredCheck:
    """A check, its timeout, and its calls that are still going on. Lives as long as it is registered."""

    def __init__(self, check: HealthCheck, *, timeout_s: float, clock: Clock) -> None:
        self.check = check
        self._timeout_s = timeout_s
        self._clock = clock
        self._tasks: list[tuple[asyncio.Task[HealthResult], float]] = []
        self._thread_calls: list[_ThreadCall] = []

    async def run(self, limiter: anyio.CapacityLimiter) -> HealthResult:
        """Return what the check found, within its timeout and the grace. Raises nothing but cancellation."""
        started_s = self._clock.monotonic()
        hung_for = self._hung_for(started_s)
        if hung_for is not None:
            result = unhealthy(f"still hung after {_rounded(hung_for)}, and not started again")
        else:
            result = await self._run_or_abandon(limiter, started_s)
        latency_ms = round((self._clock.monotonic() - started_s) * 1000, 3)
        return replace(result, latency_ms=latency_ms, critical=self.check.critical)

    async def _run_or_abandon(self, limiter: anyio.CapacityLimiter, started_s: float) -> HealthResult:
        # Not in a task group: it would wait for a checker that refuses to end, and the report with it. The task ends
        # itself at the timeout; one that does not is kept here, and no other is started until it is gone.
        task = asyncio.create_task(self._run_in_time(limiter), name=f"health check {self.check.name}")
        self._tasks.append((task, started_s))
        try:
            with self._clock.cancel_after(self._timeout_s):
                await asyncio.wait({task})
            await asyncio.wait({task}, timeout=_GRACE_S)
        except asyncio.CancelledError:
            task.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait({task}, timeout=_GRACE_S)
            raise
        if not task.done():
            return self._late()
        return read_failure(asyncio.CancelledError()) if task.cancelled() else task.result()

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
