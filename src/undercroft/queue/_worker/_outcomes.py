"""From what a run came to, to what is recorded of it."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

import msgspec

from undercroft._core.codec import to_json
from undercroft._core.durations import to_seconds
from undercroft._core.errors import UndercroftError
from undercroft.logging import Logger, redact_text
from undercroft.queue._backoff import Backoff, BackoffFunction
from undercroft.queue._errors import Discard, RetryLater, Unrecoverable
from undercroft.queue._job import Job
from undercroft.queue._values import ClaimedJob, Completed, Failed, NewJob, Postponed
from undercroft.queue._worker._in_process import RemoteError

Outcome = Completed | Failed | Postponed
CANCELLED = Failed(error_type="Cancelled", error="cancelled", retry_at=None)
NOTHING = b"null"

_ERROR_LIMIT = 2000
_STACK_LIMIT = 8000
_log = Logger(module="undercroft.queue")


class UnreadableDataError(Exception):
    """Stored data does not fit the job (any more); `__cause__` says how. It will not fit next time either."""


def encoded(claimed: ClaimedJob, result: Any) -> bytes:
    """Return a handler's result as JSON; null, with a warning, when it has no JSON form."""
    if result is None:
        return NOTHING
    try:
        return to_json(result)
    except TypeError as exc:
        # The work is done: running it again for the sake of a result nobody can store would be worse.
        _log.warning("job result is not JSON and was not stored", job=claimed.name, problem=str(exc))
        return NOTHING


def outcome_of(exc: BaseException, claimed: ClaimedJob, job: Job[..., Any], *, now: float) -> Outcome:
    """Return what to record of a run that raised, and log it.

    Args:
        now: The instant by the engine's clock, from which a delay counts.
    """
    if isinstance(exc, Discard):
        _log.info("job discarded", job=claimed.name, reason=exc.reason)
        return Completed(result=NOTHING)
    if isinstance(exc, RetryLater):
        _log.info("job postponed", job=claimed.name, retry_in_s=exc.delay_s, reason=exc.reason)
        return Postponed(until=now + exc.delay_s)
    is_permanent = isinstance(exc, Unrecoverable | UnreadableDataError)
    if isinstance(exc, UnreadableDataError):
        exc = exc.__cause__ or exc
    delay_s = None if is_permanent else _retry_in_s(exc, claimed, job)
    failed = Failed(
        error_type=_type_of(exc),
        error=redact_text(exc.message if isinstance(exc, Unrecoverable) else str(exc))[:_ERROR_LIMIT],
        stack=_stack_of(exc),
        retry_at=None if delay_s is None else now + delay_s,
    )
    _report(exc, failed, claimed, delay_s)
    return failed


def doomed(claimed: ClaimedJob) -> Failed:
    """Return what to record of a job that must not run."""
    assert claimed.doom is not None
    _log.warning(
        "job failed without running",
        {
            "job": claimed.name,
            "job_id": claimed.id,
            "error_type": claimed.doom.error_type,
            "error_text": claimed.doom.error,
        },
    )
    return Failed(error_type=claimed.doom.error_type, error=claimed.doom.error, retry_at=None)


def failure_job(claimed: ClaimedJob, failed: Failed, jobs: Mapping[str, Job[..., Any]], *, now: float) -> NewJob | None:
    """Return the job to enqueue because `claimed` has failed for good, if one was asked for.

    Its id is made of the failed job's and its claim's, so that it is stored once for each failure however often that is
    recorded; a job that is retried by hand and fails again tells again.
    """
    known = jobs.get(claimed.name)
    name = claimed.on_failure or (known.options.on_failure if known and claimed.is_foreign else None)
    if name is None:
        return None
    handler = jobs.get(name)
    backoff = handler.options.backoff if handler else Backoff.exponential()
    options: dict[str, Any] = {}
    if handler:
        options = {"keep_completed": handler.options.keep_completed, "keep_failed": handler.options.keep_failed}
    return NewJob(
        id=f"{claimed.id}-failed-{claimed.token}",
        name=name,
        queue=handler.options.queue if handler else claimed.queue,
        data=to_json(_what_failed(claimed, failed)),
        attempts=handler.options.attempts if handler else 3,
        backoff=backoff if isinstance(backoff, Backoff) else None,
        timeout_s=handler.options.timeout_s if handler else 30.0,
        priority=handler.options.priority if handler else claimed.priority,
        due_at=now,
        created_at=now,
        request_id=claimed.request_id,
        carrier=claimed.carrier,
        **options,
    )


def _what_failed(claimed: ClaimedJob, failed: Failed) -> dict[str, Any]:
    data: Any
    try:
        data = msgspec.json.decode(claimed.data)
    except msgspec.DecodeError:  # which may be why it failed
        data = claimed.data.decode(errors="replace")
    return {
        "job_id": claimed.id,
        "name": claimed.name,
        "queue": claimed.queue,
        "error_type": failed.error_type,
        "error": failed.error,
        "attempts": claimed.attempt,
        "data": data,
    }


def _retry_in_s(exc: BaseException, claimed: ClaimedJob, job: Job[..., Any]) -> float | None:
    failures = claimed.failures + 1
    if failures >= claimed.attempts:
        return None
    delay = _policy_delay_s(claimed.backoff or job.options.backoff, job.name, failures, exc)
    asked = exc.retry_after if isinstance(exc, UndercroftError | RemoteError) else None
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


def _report(exc: BaseException, failed: Failed, claimed: ClaimedJob, delay_s: float | None) -> None:
    fields: dict[str, object] = {"job": claimed.name, "attempt": claimed.attempt, "attempts": claimed.attempts}
    if delay_s is None:
        _log.error("job failed for good", exc, **fields)
        return
    fields.update(error_type=failed.error_type, error_text=failed.error, retry_in_s=round(delay_s, 3))
    _log.warning("job failed, will retry", fields)


def _type_of(exc: BaseException) -> str:
    return exc.error_type if isinstance(exc, RemoteError) else type(exc).__name__


def _stack_of(exc: BaseException) -> str:
    if isinstance(exc, RemoteError):
        return redact_text(exc.stack)[-_STACK_LIMIT:]
    return redact_text("".join(traceback.format_exception(exc)))[-_STACK_LIMIT:]
