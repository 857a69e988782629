"""Start spans, find them again, end them by their id."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from undercroft._core.context import NAMES_HERE, Correlation, LateNames, Trace, new_span_id, new_trace_id
from undercroft.monitoring._tracing._errors import SpanValueError
from undercroft.monitoring._tracing._protocol import SpanKind, SpanLink
from undercroft.monitoring._tracing._sampling import Position
from undercroft.monitoring._tracing._span import Span, checked_kind, epoch_ns
from undercroft.monitoring._tracing._tracer import TRACER
from undercroft.monitoring._tracing._values import clean_text

_SPAN_ID = re.compile("[0-9a-f]{16}")


class _Root:
    """Asked for as a parent: none, whatever is current."""


ROOT: Final = _Root()
Parent = Span | Trace | str
AskedParent = Parent | _Root | None


def start_span(
    name: str,
    parent: Parent | None = None,
    *,
    kind: SpanKind = "internal",
    attributes: Mapping[str, object] | None = None,
    links: Sequence[Span | Trace | SpanLink] = (),
    start_time: datetime | None = None,
) -> Span:
    """Start a span: use it with `with` or `async with`, as a decorator, or end it with `end_span`.

    Starting alone does not make it current, as in OpenTelemetry; entering it does. A child has its parent's trace id.
    Whether it is recorded is decided by the sampler of `setup_tracing`; without one in force, nobody takes it.

    Args:
        parent: A span, its id, or a position that a carrier brought; what is current here when `None`. Of an id whose
            span is not alive any more, the trace is not known: the span is then one of the current trace, or of a new
            one.
        kind: Whose side of a call it is: `internal`, `server`, `client`, `producer`, `consumer`.
        attributes: See `Span.set_attribute`.
        links: Other spans that it has to do with, such as the messages of a batch.
        start_time: When the work began, if that was before now: an aware datetime.

    Raises:
        SpanValueError: There is no such kind, `parent` is neither of these, or `start_time` has no time zone.
    """
    return start_as_asked(name, parent, kind, attributes, links, start_time)


def start_trace(
    name: str,
    *,
    kind: SpanKind = "internal",
    attributes: Mapping[str, object] | None = None,
    links: Sequence[Span | Trace | SpanLink] = (),
    start_time: datetime | None = None,
) -> Span:
    """Start the first span of a new trace, whatever is current. Everything else is as with `start_span`."""
    return start_as_asked(name, ROOT, kind, attributes, links, start_time)


def end_span(span: Span | str) -> Span | None:
    """End a span, given itself or its id, and return it; `None` when no such span is alive, and nothing happens."""
    found = _alive(span)
    if found is not None:
        found.end()
    return found


def set_span_attributes(span: Span | str, attributes: Mapping[str, object]) -> Span | None:
    """Set attributes of a span, given itself or its id; `None` when no such span is alive, and nothing happens."""
    found = _alive(span)
    return None if found is None else found.set_attributes(attributes)


def get_active_span(span_id: str | None = None) -> Span | None:
    """Return the span that is current here, or the one with this id; `None` if there is none, or it has ended."""
    if span_id is not None:
        return TRACER.live.get(span_id)
    here = NAMES_HERE.get()
    if isinstance(here, Span):
        return _alive(here)
    trace = trace_of(here)
    return None if trace is None else TRACER.live.get(trace.span_id)


def clear_spans() -> None:
    """Forget every span that has not ended: their ids find nothing any more. For tests."""
    TRACER.live.clear()


def start_as_asked(
    name: str,
    asked: AskedParent,
    kind: SpanKind,
    attributes: Mapping[str, object] | None,
    links: Sequence[Span | Trace | SpanLink],
    start_time: datetime | None,
) -> Span:
    """Start a span below what was asked for, and remember that for when it decorates a function."""
    if kind != "internal":
        checked_kind(kind)
    here = NAMES_HERE.get()
    position = _position(asked, here)
    start_ns = None if start_time is None else epoch_ns(start_time)
    if TRACER.bridge is not None:
        span = TRACER.bridge.start(
            name, kind, position, here, attributes, start_ns=start_ns, ambient="yes" if asked is None else "no"
        )
    else:
        span = start_below(name, kind, position, here, attributes, start_ns=start_ns)
    for link in links:
        span.add_link(link)
    span.asked_parent = asked
    return span


def start_below(
    name: str,
    kind: SpanKind,
    parent: Position | None,
    here: Correlation | LateNames,
    attributes: Mapping[str, object] | None,
    *,
    at: Trace | None = None,
    start_ns: int | None = None,
) -> Span:
    """Start a span below `parent`, or as the first of a trace.

    Args:
        here: The names that are current.
        at: The position to take, with its decision; a new one otherwise.
    """
    if at is None:
        trace_id = new_trace_id() if parent is None else parent.trace_id
        span_id, is_sampled = new_span_id(), TRACER.sampler.is_sampled(trace_id, parent)
    else:
        trace_id, span_id, is_sampled = at.trace_id, at.span_id, at.is_sampled
    span = Span(
        name if name.isascii() and len(name) < 256 else clean_text(name),
        kind,
        trace_id,
        span_id,
        None if parent is None else parent.span_id,
        is_parent_remote=is_remote(parent),
        is_sampled=is_sampled,
        state="" if parent is None else parent.state,
        base=here.base if isinstance(here, Span) else here,
        attributes=attributes,
        start_ns=start_ns,
    )
    TRACER.add(span)
    return span


def is_remote(parent: Position | None) -> bool:
    """Tell whether `parent` is a span of somebody else: the position that a carrier brought."""
    return parent is not None and not isinstance(parent, Span) and TRACER.live.get(parent.span_id) is None


def again(span: Span) -> Callable[[], Span]:
    """Return a function that starts spans like `span`, which is only an example, and is ended unseen."""
    name, asked, kind = span.name, span.asked_parent, span.kind
    attributes, links = dict(span.attributes), tuple(span.links)
    span.forget()
    return lambda: start_as_asked(name, asked, kind, attributes, links, None)


def _position(asked: AskedParent, here: Correlation | LateNames) -> Position | None:
    if asked is None:
        return here if isinstance(here, Span) else trace_of(here)
    if isinstance(asked, Span | Trace):
        return asked
    if isinstance(asked, _Root):
        return None
    if _SPAN_ID.fullmatch(str(asked)):
        return TRACER.live.get(asked) or _below_unknown(asked, here)
    raise SpanValueError(
        f"{asked!r} is no parent of a span", hint="give a Span, the id of one (16 hex digits), or nothing"
    )


def _below_unknown(span_id: str, here: Correlation | LateNames) -> Position:
    current = here if isinstance(here, Span) else trace_of(here)
    if current is None:
        trace_id = new_trace_id()
        return Trace(trace_id=trace_id, span_id=span_id, is_sampled=TRACER.sampler.is_sampled(trace_id, None))
    return Trace(trace_id=current.trace_id, span_id=span_id, is_sampled=current.is_sampled, state=current.state)


def trace_of(here: Correlation | LateNames) -> Trace | None:
    """Return the position that `here` names."""
    return (here.names() if isinstance(here, LateNames) else here).trace


def _alive(span: Span | str) -> Span | None:
    if isinstance(span, Span):
        return span if span.end_time_ns is None else None
    return TRACER.live.get(span)
