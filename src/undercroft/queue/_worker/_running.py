"""One run of one job: its deadline, its end, and what is to be recorded of it.

This is the path that every job takes, and a no-op job costs little else: so a slot runs its jobs in one task and one
cancel scope (`_slots`), deadlines are kept in one place (`_deadlines`), and names, traces and log lines are made when
somebody asks for them.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context, copy_context
from enum import Enum
from functools import partial
from typing import Any, Generic, TypeVar

import anyio
import anyio.to_thread

from undercroft._core.clock import Clock
from undercroft._core.context import NAMES_HERE, LateCorrelation
from undercroft._core.durations import format_seconds
from undercroft._core.errors import InvalidDataError
from undercroft.logging import Logger
from undercroft.monitoring import ErrorTracker, is_recording
from undercroft.queue._errors import Discard, JobTimeoutError
from undercroft.queue._job import Job
from undercroft.queue._tracing import names_of, run_span, tell
from undercroft.queue._values import ClaimedJob, Completed, Failed
from undercroft.queue._worker._context import JobContext, Workplace, correlation_of, current
from undercroft.queue._worker._in_process import path_of, run_in_process
from undercroft.queue._worker._outcomes import CANCELLED, Outcome, UnreadableDataError, encoded, outcome_of

T = TypeVar("T")
_log = Logger(module="undercroft.queue")
# What a handler may raise without taking the worker down. A group that is no `Exception` may hold a `SystemExit`.
_SURVIVED = (Exception, SystemExit, asyncio.CancelledError, BaseExceptionGroup)


class Ending(Enum):
    """Why a run is ended from outside."""

    TIMEOUT = "it took longer than its timeout"
    CANCELLED = "somebody cancelled the job"
    STOPPED = "the worker stops"
    LOST = "somebody else has the job by now"


class Run:
    """One run of a claimed job, which may be ended from outside while its handler runs."""

    __slots__ = ("claimed", "deadline", "ending", "remark", "scope", "started", "task", "wait_s")

    def __init__(self, claimed: ClaimedJob, started: float, wait_s: float) -> None:
        self.claimed = claimed
        self.started = started
        """By the worker's monotonic clock."""
        self.wait_s = wait_s
        """How long it could have run already when it was begun."""
        self.deadline: float | None = None
        self.ending: Ending | None = None
        self.scope: anyio.CancelScope | None = None
        """What to cancel; there is none before and after the handler runs."""
        self.task: asyncio.Task[Any] | None = None
        """The slot's."""
        self.remark: str | None = None
        """For the job's own log."""

    @property
    def may_be_ended(self) -> bool:
        """Whether its handler runs, or is yet to."""
        return self.scope is not None or self.task is None

    def end(self, why: Ending) -> None:
        """Have the handler cancelled, now or as soon as it begins. The first reason holds, but for a lost job."""
        if self.ending is None or why is Ending.LOST:
            self.ending = why
        if self.scope is not None:
            self.scope.cancel()


class Runner:
    """How the runs of one job are made. Lives as long as its worker."""

    def __init__(self, job: Job[..., Any], *, threads: anyio.CapacityLimiter, processes: anyio.CapacityLimiter) -> None:
        self.job = job
        self._threads = threads
        self._processes = processes
        self._call = self._way()

    def timeout_s(self, claimed: ClaimedJob) -> float | None:
        """How long a run may take: what was stored with the job, unless its producer knew nothing of timeouts."""
        return self.job.options.timeout_s if claimed.is_foreign else claimed.timeout_s

    def call(self, claimed: ClaimedJob) -> Awaitable[Any]:
        """Check the stored data and return the run of the handler.

        Raises:
            UnreadableDataError: The data does not fit the job (any more).
        """
        return self._call(claimed)

    def _way(self) -> Callable[[ClaimedJob], Awaitable[Any]]:
        if self.job.options.run_in == "process":
            path_of(self.job)
            return self._in_process
        handler: Any = self.job.handler
        if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None)):  # noqa: B004
            return self._here
        return self._in_thread

    def _here(self, claimed: ClaimedJob) -> Awaitable[Any]:
        call: Awaitable[Any] = self._prepared(claimed)()
        return call

    def _in_thread(self, claimed: ClaimedJob) -> Awaitable[Any]:
        return anyio.to_thread.run_sync(self._prepared(claimed), abandon_on_cancel=True, limiter=self._threads)

    def _in_process(self, claimed: ClaimedJob) -> Awaitable[Any]:
        self._prepared(claimed)  # data that does not fit is found here, without a process
        return run_in_process(self.job, claimed, limiter=self._processes)

    def _prepared(self, claimed: ClaimedJob) -> Callable[[], Any]:
        try:
            return self.job.prepare(claimed.data)
        except InvalidDataError as exc:
            raise UnreadableDataError from exc


def runners_of(jobs: Mapping[str, Job[..., Any]], *, concurrency: int) -> dict[str, Runner]:
    """Return a runner for each job; plain functions get as many threads as there are slots, processes one per CPU."""
    threads = anyio.CapacityLimiter(concurrency)
    processes = anyio.CapacityLimiter(os.cpu_count() or 1)
    return {name: Runner(job, threads=threads, processes=processes) for name, job in jobs.items()}


class InContext(Generic[T]):
    """Awaits a coroutine in a context of its own: what it sets in context variables ends with it.

    A task of its own would do the same, for several times the price of a short run.
    """

    __slots__ = ("_context", "_coroutine")

    def __init__(self, coroutine: Coroutine[Any, Any, T], context: Context) -> None:
        self._coroutine = coroutine
        self._context = context

    def __await__(self) -> Generator[Any, Any, T]:
        run, send, throw = self._context.run, self._coroutine.send, self._coroutine.throw
        step: Callable[[Any], Any] = send
        value: Any = None
        while True:
            try:
                waited_for = run(step, value)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]  # of the coroutine, whose type this is
            try:
                value = yield waited_for
                step = send
            except BaseException as exc:  # thrown into the task: it is for the coroutine to take
                step, value = throw, exc


class Performer:
    """Performs runs for one worker."""

    def __init__(
        self,
        place: Workplace,
        *,
        clock: Clock,
        bind: Callable[[], AbstractContextManager[object]],
        errors: ErrorTracker | None,
        is_shutting_down: Callable[[], bool],
    ) -> None:
        self._place = place
        self._clock = clock
        self._bind = None if bind is nullcontext else bind
        self._errors = errors
        self._is_shutting_down = is_shutting_down
        self._logger = logging.getLogger("undercroft.queue")

    def perform(self, run: Run, runner: Runner) -> InContext[Outcome | None]:
        """Await it to run a claimed job and have what to record; `None`: the run is not to be recorded.

        It is awaited inside `run.scope`, and never raises a cancellation: of what ended the run, `run.ending` tells.
        Whatever the handler raises by itself, a stray `CancelledError` or `SystemExit` included, is a failed run.
        """
        return InContext(self._perform(run, runner), copy_context())

    async def _perform(self, run: Run, runner: Runner) -> Outcome | None:
        claimed = run.claimed
        current.set(JobContext(claimed, self._place))
        if not is_recording():
            NAMES_HERE.set(LateCorrelation(partial(correlation_of, claimed)))  # until the run's own context ends
            return await self._handle(run, runner)
        names, parent = names_of(claimed.id, claimed.request_id, claimed.carrier)
        NAMES_HERE.set(names)
        with run_span(claimed, names, parent) as span:
            outcome = await self._handle(run, runner)
            tell(span, outcome)
            return outcome

    async def _handle(self, run: Run, runner: Runner) -> Outcome | None:
        claimed = run.claimed
        if self._logger.isEnabledFor(logging.INFO):
            _log.info("job started", job=claimed.name, attempt=claimed.attempt)
        try:
            if self._bind is None:
                result = await runner.call(claimed)
            else:
                with self._bind():
                    result = await runner.call(claimed)
        except _SURVIVED as exc:
            return self._ended(run, runner, exc)
        finally:
            run.scope = None
        if self._logger.isEnabledFor(logging.INFO):
            duration_ms = round((self._clock.monotonic() - run.started) * 1000, 1)
            _log.info("job completed", job=claimed.name, duration_ms=duration_ms)
        return Completed(result=encoded(claimed, result))

    def _ended(self, run: Run, runner: Runner, exc: BaseException) -> Outcome | None:
        if isinstance(exc, asyncio.CancelledError) and run.ending is None and self._is_shutting_down():
            run.ending = Ending.STOPPED  # the whole loop is ending, and cancelled this task by itself
        if run.ending in (Ending.LOST, Ending.STOPPED):
            return None
        if run.ending is Ending.CANCELLED:
            return CANCELLED
        if run.ending is Ending.TIMEOUT and isinstance(exc, asyncio.CancelledError):
            limit = format_seconds(runner.timeout_s(run.claimed) or 0)
            exc = JobTimeoutError(f"job {run.claimed.name!r} took longer than its timeout of {limit}")
        if isinstance(exc, Discard):
            run.remark = f"discarded: {exc.reason}"
        outcome = outcome_of(exc, run.claimed, runner.job, now=self._place.engine.time())
        if self._errors is not None and isinstance(outcome, Failed) and outcome.retry_at is None:
            about = {"job": run.claimed.name, "queue": run.claimed.queue, "attempt": run.claimed.attempt}
            self._errors.capture_exception(exc, context=about)
        return outcome
