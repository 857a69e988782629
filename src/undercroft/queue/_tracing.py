"""The spans of jobs: one where a job is enqueued, one for each run, the second below the first.

Attributes are those of OpenTelemetry's messaging conventions, still in development there
(https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/); ours begin with `undercroft.job.`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from undercroft._core.carrier import unpack
from undercroft._core.context import Correlation, Trace
from undercroft.monitoring import NO_SPAN, Span, continue_trace, is_recording, library_span, semconv
from undercroft.queue._values import ClaimedJob, Failed, Postponed

SYSTEM = "undercroft"
NAME, ATTEMPT, ATTEMPTS = "undercroft.job.name", "undercroft.job.attempt", "undercroft.job.attempts"


def enqueue_span(job: str, queue: str, *, count: int | None = None) -> AbstractContextManager[Span | None]:
    """Return the span of storing a job, or `count` of them, to be entered before the jobs are made."""
    if not is_recording():
        return NO_SPAN
    attributes: dict[str, object] = {
        semconv.MESSAGING_SYSTEM: SYSTEM,
        semconv.MESSAGING_OPERATION_NAME: "enqueue",
        semconv.MESSAGING_OPERATION_TYPE: "send",
        semconv.MESSAGING_DESTINATION_NAME: queue,
        semconv.MESSAGING_BATCH_MESSAGE_COUNT: count,
        NAME: job,
    }
    return library_span(f"enqueue {job}", kind="producer", attributes=attributes)


def names_of(job_id: str, request_id: str | None, carrier: str | None) -> tuple[Correlation, Trace | None]:
    """Return what a run is called, and whose child it is: the span that its job was enqueued in."""
    carried = unpack(carrier)
    trace = continue_trace(carried.trace)
    return Correlation(request_id=request_id, trace=trace, job_id=job_id, baggage=carried.baggage), carried.trace


def run_span(claimed: ClaimedJob, names: Correlation, parent: Trace | None) -> AbstractContextManager[Span | None]:
    """Return the span of a run, to be entered under the run's names."""
    attributes: dict[str, object] = {
        semconv.MESSAGING_SYSTEM: SYSTEM,
        semconv.MESSAGING_OPERATION_NAME: "process",
        semconv.MESSAGING_OPERATION_TYPE: "process",
        semconv.MESSAGING_DESTINATION_NAME: claimed.queue,
        semconv.MESSAGING_MESSAGE_ID: claimed.id,
        NAME: claimed.name,
        ATTEMPT: claimed.attempt,
        ATTEMPTS: claimed.attempts,
    }
    return library_span(
        f"process {claimed.name}", kind="consumer", attributes=attributes, at=names.trace, parent=parent
    )


def tell(span: Span | None, outcome: object) -> None:
    """Tell a run's span what came of it. A run that will be tried again has failed all the same."""
    if span is None:
        return
    if outcome is None:
        span.set_attribute("undercroft.job.outcome", "given_back")
    elif isinstance(outcome, Postponed):
        span.set_attribute("undercroft.job.outcome", "postponed")
    elif isinstance(outcome, Failed):
        span.set_attribute("undercroft.job.outcome", "failed" if outcome.retry_at is None else "retried")
        span.set_attribute(semconv.ERROR_TYPE, outcome.error_type).set_status("error", outcome.error)
        exception: dict[str, object] = {
            semconv.EXCEPTION_TYPE: outcome.error_type,
            semconv.EXCEPTION_MESSAGE: outcome.error,
            semconv.EXCEPTION_STACKTRACE: outcome.stack,
        }
        span.add_event("exception", exception)
    else:
        span.set_attribute("undercroft.job.outcome", "completed")
