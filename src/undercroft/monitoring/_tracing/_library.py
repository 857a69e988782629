"""Spans that a library makes of its own accord: nothing, at the cost of one attribute, where nobody takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final

from undercroft._core.context import NAMES_HERE, Trace, new_span_id, new_trace_id
from undercroft.monitoring._tracing._protocol import SpanKind, SpanLink
from undercroft.monitoring._tracing._sampling import Position
from undercroft.monitoring._tracing._span import Span
from undercroft.monitoring._tracing._start import start_below, trace_of
from undercroft.monitoring._tracing._tracer import TRACER, Ambient


class NoSpan:
    """Entering gives `None`, and changes nothing."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None


NO_SPAN: Final = NoSpan()


def library_span(
    name: str,
    *,
    kind: SpanKind = "internal",
    attributes: Mapping[str, object] | None = None,
    parent: Trace | None = None,
    at: Trace | None = None,
    links: Sequence[Span | Trace | SpanLink] = (),
) -> Span | NoSpan:
    """Start a span to enter at once, if somebody would take it; else return what does nothing, and enters as `None`.

    The first span of a trace that is not sampled is made all the same: it holds that decision for what is below it.

        with library_span("SELECT orders", kind="client") as span:
            ...
            if span is not None:
                span.set_attribute(semconv.DB_RESPONSE_STATUS_CODE, "0")

    A request or a job has its position in the trace before it has a span, because log lines carry it either way; `at`
    and `parent` make the span that belongs to it.

    Args:
        parent: What the carrier brought; what is current when neither it nor `at` is given.
        at: The position to take, as `continue_trace` gave it, which has decided about sampling too. Where OpenTelemetry
            makes the ids and decides, it is not taken: the span names the work inside by its own.
    """
    if not TRACER.is_recording:
        return NO_SPAN
    here = NAMES_HERE.get()
    if at is None and parent is None:
        position: Position | None = here if isinstance(here, Span) else trace_of(here)
    else:
        position = parent
    if TRACER.bridge is not None:
        span = TRACER.bridge.start(name, kind, position, here, attributes, ambient=_ambient(kind, parent, at))
    elif _is_decided_against(position if at is None else at):
        return NO_SPAN
    else:
        span = start_below(name, kind, position, here, attributes, at=at)
    for link in links:
        span.add_link(link)
    return span


def _is_decided_against(position: Position | None) -> bool:
    return position is not None and not position.is_sampled


def _ambient(kind: SpanKind, parent: Trace | None, at: Trace | None) -> Ambient:
    if at is None and parent is None:
        return "yes"
    # A server's span may be inside the one of OpenTelemetry's own instrumentation of that server. A job's is not inside
    # whatever its worker was started in.
    return "same trace" if kind == "server" else "no"


def new_trace() -> Trace:
    """Return the first position of a new trace, with the sampler's decision."""
    trace_id = new_trace_id()
    return Trace(trace_id=trace_id, span_id=new_span_id(), is_sampled=TRACER.sampler.is_sampled(trace_id, None))


def continue_trace(parent: Trace | None) -> Trace:
    """Return the position of a new piece of work below `parent`, or the first of a new trace; the sampler decides.

    For whoever receives: a middleware, a worker. The names of the work go on with it (`Correlation.trace`), and
    `library_span(..., at=it, parent=parent)` makes the span.
    """
    if parent is None:
        return new_trace()
    is_sampled = TRACER.sampler.is_sampled(parent.trace_id, parent)
    return Trace(trace_id=parent.trace_id, span_id=new_span_id(), is_sampled=is_sampled, state=parent.state)
