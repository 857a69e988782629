"""Turn a span that has ended into plain, redacted data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from undercroft.monitoring._tracing._protocol import AttributeValue, FinishedSpan, SpanEvent, SpanLink
from undercroft.monitoring._tracing._tracer import TRACER
from undercroft.monitoring._tracing._values import clean_text, clean_value

if TYPE_CHECKING:
    from undercroft.monitoring._tracing._span import Span


def finished(span: Span) -> FinishedSpan:
    """Return the data of `span`, which has ended, as the redaction in force leaves it.

    Every text goes through it: the span's name, its attributes, the status message, and those of events and links.
    What is no attribute goes by the names `span.name`, `status.message`, and `event.name`.
    """
    assert span.end_time_ns is not None
    base = span.base_names()
    plain = TRACER.redact is None
    return FinishedSpan(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_span_id,
        name=span.name if plain else _text("span.name", span.name),
        kind=span.kind,
        start_time_ns=span.start_time_ns,
        end_time_ns=span.end_time_ns,
        attributes=span.attributes.copy() if plain else _attributes(span.attributes),
        dropped_attributes=span.dropped_attributes,
        events=list(span.events) if plain else [_event(event) for event in span.events],
        dropped_events=span.dropped_events,
        links=list(span.links) if plain else [_link(link) for link in span.links],
        dropped_links=span.dropped_links,
        status=span.status,
        status_message=span.status_message if plain else _text("status.message", span.status_message),
        trace_state=span.state,
        is_parent_remote=span.is_parent_remote,
        request_id=base.request_id,
        job_id=base.job_id,
    )


def redacted_attributes(attributes: dict[str, AttributeValue]) -> dict[str, AttributeValue]:
    """Return `attributes` as the redaction in force leaves them."""
    return attributes if TRACER.redact is None else _attributes(attributes)


def _attributes(attributes: dict[str, AttributeValue]) -> dict[str, AttributeValue]:
    kept: dict[str, AttributeValue] = {}
    for name, value in attributes.items():
        if isinstance(value, list):
            kept[name] = clean_value([TRACER.redacted(name, item) for item in value])
        else:
            left = TRACER.redacted(name, value)
            kept[name] = value if left is value else clean_value(left)
    return kept


def _text(name: str, text: str) -> str:
    return clean_text(TRACER.redacted(name, text)) if text else ""


def _event(event: SpanEvent) -> SpanEvent:
    return SpanEvent(
        name=_text("event.name", event.name), time_ns=event.time_ns, attributes=_attributes(event.attributes)
    )


def _link(link: SpanLink) -> SpanLink:
    return SpanLink(
        trace_id=link.trace_id,
        span_id=link.span_id,
        trace_state=link.trace_state,
        attributes=_attributes(link.attributes),
    )
