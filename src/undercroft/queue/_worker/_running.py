"""One run of one job: its context, its deadline, and what is to be recorded of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import anyio

from undercroft._core.clock import Clock, utc
from undercroft._core.codec import to_json
from undercroft._core.context import Correlation, Trace, correlate
from undercroft._core.durations import format_seconds, to_seconds
from undercroft._core.errors import InvalidDataError, UndercroftError
from undercroft.logging import Logger
from undercroft.queue._backoff import Backoff, BackoffFunction
from undercroft.queue._errors import JobTimeoutError, NotInJobError
from undercroft.queue._job import Job, run_handler
from undercroft.queue._protocol import ClaimedJob, Completed, Failed

CANCELLED = object()
"""What `Run.call` returns for a run that was cancelled."""

_ERROR_LIMIT = 2000
_log = Logger(module="undercroft.queue")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """The run that is going on, as its handler sees it."""

    id: str
    name: str
    queue: str
    attempt: int
    """Number of this run, from 1."""
    attempts: int
    """Runs allowed."""
    token: int
    """Grows with every claim of this job: give it to a resource that can refuse an older one (fencing)."""
    enqueued_at: datetime

    @property
    def is_last_attempt(self) -> bool:
        """Whether an error now is the end of the job."""
        return self.attempt >= self.attempts


_context: ContextVar[JobContext] = ContextVar("undercroft_job")


def current_job() -> JobContext:
    """Return the run that this code is part of.

    Raises:
        NotInJobError: There is none; a job that is called directly has none either.
    """
    try:
        return _context.get()
    except LookupError:
        raise NotInJobError(
            "no job is running here", hint="call it from a job's handler, run by a worker; a direct call has no context"
        ) from None


class Run:
    """One run of a claimed job, which may be cancelled while it goes on."""

    def __init__(self, claimed: ClaimedJob) -> None:
        self.claimed = claimed
        self.is_lost = False
        """Somebody else has the job by now."""
        self._is_cancelled = False
        self._scope: anyio.CancelScope | None = None

    def cancel(self) -> None:
        """End the run; `perform` returns `None`."""
        self._is_cancelled = True
        if self._scope is not None:
            self._scope.cancel()

    async def call(self, job: Job[..., Any], clock: Clock) -> Any:
        """Call the handler, within the job's timeout. Returns `CANCELLED` when this run was cancelled."""
        try:
            call = job.prepare(self.claimed.data)
        except InvalidDataError as exc:
            raise _UnreadableDataError from exc
        result: Any = CANCELLED
        # One scope for both ways to end early: entering one costs as much as the rest of a short run.
        with clock.cancel_after(self.claimed.timeout_s) as self._scope:
            if not self._is_cancelled:
                result = await run_handler(job.handler, call)
        if result is CANCELLED and not self._is_cancelled:
            limit = format_seconds(self.claimed.timeout_s or 0)
            raise JobTimeoutError(f"job {job.name!r} took longer than its timeout of {limit}")
        return result


class _UnreadableDataError(Exception):
    """Stored data does not fit the job (any more); `__cause__` says how. It will not fit next time either."""


async def perform(
    run: Run, job: Job[..., Any], *, bind: Callable[[], AbstractContextManager[object]], clock: Clock
) -> Completed | Failed | None:
    """Run a claimed job and say what to record; `None` when `run.cancel()` ended it.

    Cancellation of the caller propagates, and the caller gives the job back. Whatever the handler raises by itself, a
    stray `CancelledError` or `SystemExit` included, is a failed run.
    """
    claimed = run.claimed
    trace = Trace.parse(claimed.traceparent) if claimed.traceparent else None
    names = Correlation(request_id=claimed.request_id, trace=trace.child() if trace else Trace.new(), job_id=claimed.id)
    with bind(), correlate(names):
        token = _context.set(_context_of(claimed))
        started = clock.monotonic()
        _log.info("job started", job=claimed.name, attempt=claimed.attempt)
        try:
            result = await run.call(job, clock)
        except (Exception, SystemExit, asyncio.CancelledError) as exc:
            if isinstance(exc, asyncio.CancelledError) and _is_cancelled_from_outside():
                raise
            return _failed(job, claimed, exc, clock)
        finally:
            _context.reset(token)
        if result is CANCELLED:
            return None
        _log.info("job completed", job=claimed.name, duration_ms=round((clock.monotonic() - started) * 1000, 1))
        return Completed(result=_encoded(claimed, result))


def _is_cancelled_from_outside() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _failed(job: Job[..., Any], claimed: ClaimedJob, exc: BaseException, clock: Clock) -> Failed:
    failures = claimed.failures + 1
    is_permanent = isinstance(exc, _UnreadableDataError)
    exc = exc.__cause__ or exc if is_permanent else exc
    retry_at: float | None = None
    if failures < claimed.attempts and not is_permanent:
        retry_at = clock.time() + _delay_s(job, claimed, failures, exc)
    text = str(exc)[:_ERROR_LIMIT]
    fields = {"job": claimed.name, "attempt": claimed.attempt, "attempts": claimed.attempts}
    if retry_at is None:
        _log.error("job failed for good", exc, **fields)
    else:
        _log.warning("job failed, will retry", {**fields, "error_type": type(exc).__name__, "error_text": text,
                                                "retry_in_s": round(retry_at - clock.time(), 3)})  # fmt: skip
    return Failed(error_type=type(exc).__name__, error=text, retry_at=retry_at)


def _delay_s(job: Job[..., Any], claimed: ClaimedJob, failures: int, exc: BaseException) -> float:
    delay = _policy_delay_s(claimed.backoff or job.options.backoff, job.name, failures, exc)
    asked = exc.retry_after if isinstance(exc, UndercroftError) else None
    return max(delay, asked or 0.0)


def _policy_delay_s(policy: Backoff | BackoffFunction, name: str, failures: int, exc: BaseException) -> float:
    if isinstance(policy, Backoff):
        return policy.delay_s(failures)
    error = exc if isinstance(exc, Exception) else RuntimeError(repr(exc))
    try:
        return to_seconds(policy(failures, error), name="the backoff function's result")
    except Exception as problem:  # the user's function: it must not take the worker down
        _log.error("backoff function failed, using the default", problem, job=name)
        return Backoff.exponential().delay_s(failures)


def _encoded(claimed: ClaimedJob, result: Any) -> bytes:
    try:
        return to_json(result)
    except TypeError as exc:
        # The work is done: running it again for the sake of a result nobody can store would be worse.
        _log.warning("job result is not JSON and was not stored", job=claimed.name, problem=str(exc))
        return b"null"


def _context_of(claimed: ClaimedJob) -> JobContext:
    return JobContext(
        id=claimed.id,
        name=claimed.name,
        queue=claimed.queue,
        attempt=claimed.attempt,
        attempts=claimed.attempts,
        token=claimed.token,
        enqueued_at=utc(claimed.created_at),
    )
