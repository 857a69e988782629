"""What an exporter or a store of spans must read: the finished span, and the protocol of those who take it."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

SpanKind = Literal["internal", "server", "client", "producer", "consumer"]
"""Whose side of a call a span is: https://opentelemetry.io/docs/specs/otel/trace/api/#spankind."""

SpanStatus = Literal["unset", "ok", "error"]

AttributeScalar = str | bool | int | float
AttributeValue = str | bool | int | float | list[str | bool | int | float]
"""A list holds values of one type: https://opentelemetry.io/docs/specs/otel/common/#attribute."""


class SpanEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened at one moment of a span, such as an exception."""

    name: str
    time_ns: int
    """Nanoseconds since the Unix epoch."""
    attributes: dict[str, AttributeValue] = {}


class SpanLink(msgspec.Struct, frozen=True, kw_only=True):
    """Another span that this one has to do with, without being its child: the message a batch was made of."""

    trace_id: str
    span_id: str
    trace_state: str = ""
    attributes: dict[str, AttributeValue] = {}


class FinishedSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A span that has ended, redacted already. Plain data: `msgspec.json.encode` writes it, and reads it back."""

    trace_id: str
    """32 lower-case hex digits."""
    span_id: str
    """16 lower-case hex digits."""
    parent_span_id: str | None = None
    name: str
    kind: SpanKind = "internal"
    start_time_ns: int
    """Nanoseconds since the Unix epoch, by the host's clock when the span was started."""
    end_time_ns: int
    """`start_time_ns` plus a duration that was measured monotonically: never before the start."""
    attributes: dict[str, AttributeValue] = {}
    """At most 128 and `error.type`, with texts of at most 4,096 characters."""
    dropped_attributes: int = 0
    """How many more there were."""
    events: list[SpanEvent] = []
    """At most 128, in the order they happened."""
    dropped_events: int = 0
    links: list[SpanLink] = []
    """At most 128."""
    dropped_links: int = 0
    status: SpanStatus = "unset"
    status_message: str = ""
    """Why the status is `error`; empty otherwise."""
    trace_state: str = ""
    """The `tracestate` header's value that the trace came with."""
    is_parent_remote: bool = False
    """The parent was read from a carrier: it is a span of another process, or of a job's sender."""
    request_id: str | None = None
    job_id: str | None = None

    @property
    def duration_ns(self) -> int:
        """How long it took, in nanoseconds."""
        return self.end_time_ns - self.start_time_ns


class SpanProcessor(Protocol):
    """Who takes finished spans: an exporter, a store. Lives from `setup_tracing` until its `TracingSetup` closes it."""

    def on_end(self, span: FinishedSpan) -> None:
        """Take `span`. Called in whichever thread ended it, also inside an event loop: never blocks, never raises.

        What cannot be kept is dropped and counted by the processor. An exception is counted by the tracer, and lost.
        """

    async def flush(self) -> None:
        """Return once what was taken before is delivered or given up. Bounded by the processor's own deadline."""

    async def aclose(self) -> None:
        """Deliver what is left under a deadline, and let go of what was opened. A second call does nothing."""
