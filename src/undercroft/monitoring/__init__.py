"""What the process did: metrics that it counts, spans that it measures."""

from __future__ import annotations

from undercroft._core.context import new_span_id as generate_span_id
from undercroft._core.context import new_trace_id as generate_trace_id
from undercroft.monitoring._recent import (
    LineFilter,
    RecentLevelError,
    RecentMissingError,
    RecentOptions,
    RecentStore,
    RecentUnavailableError,
    Story,
    StoryAmbiguousError,
    StoryEntry,
    StoryLine,
    StoryNotFoundError,
    StorySpan,
    TraceSummary,
)
from undercroft.monitoring._tracing import _names as semconv
from undercroft.monitoring._tracing._baggage import baggage, get_baggage
from undercroft.monitoring._tracing._errors import (
    BaggageError,
    OpenTelemetryError,
    OtlpSettingError,
    SamplerError,
    SpanUsageError,
    SpanValueError,
)
from undercroft.monitoring._tracing._library import NO_SPAN, NoSpan, continue_trace, library_span, new_trace
from undercroft.monitoring._tracing._propagation import continue_from, extract_headers, inject_headers
from undercroft.monitoring._tracing._protocol import (
    AttributeValue,
    FinishedSpan,
    SpanEvent,
    SpanKind,
    SpanLink,
    SpanProcessor,
    SpanStatus,
)
from undercroft.monitoring._tracing._sampling import (
    AlwaysOff,
    AlwaysOn,
    ParentBased,
    Sampler,
    TraceIdRatio,
    sampler_from,
)
from undercroft.monitoring._tracing._service import TracingService
from undercroft.monitoring._tracing._setup import TracingSetup, is_recording, setup_tracing, tracing_counts
from undercroft.monitoring._tracing._span import Span
from undercroft.monitoring._tracing._start import (
    clear_spans,
    end_span,
    get_active_span,
    set_span_attributes,
    start_span,
    start_trace,
)
from undercroft.monitoring._tracing._tracer import TracingCounts

__all__ = [
    "AlwaysOff",
    "AlwaysOn",
    "AttributeValue",
    "BaggageError",
    "FinishedSpan",
    "LineFilter",
    "NO_SPAN",
    "NoSpan",
    "OpenTelemetryError",
    "OtlpSettingError",
    "ParentBased",
    "RecentLevelError",
    "RecentMissingError",
    "RecentOptions",
    "RecentStore",
    "RecentUnavailableError",
    "Sampler",
    "SamplerError",
    "Span",
    "SpanEvent",
    "SpanKind",
    "SpanLink",
    "SpanProcessor",
    "SpanStatus",
    "SpanUsageError",
    "SpanValueError",
    "Story",
    "StoryAmbiguousError",
    "StoryEntry",
    "StoryLine",
    "StoryNotFoundError",
    "StorySpan",
    "TraceIdRatio",
    "TraceSummary",
    "TracingCounts",
    "TracingService",
    "TracingSetup",
    "baggage",
    "clear_spans",
    "continue_from",
    "continue_trace",
    "end_span",
    "extract_headers",
    "generate_span_id",
    "generate_trace_id",
    "get_active_span",
    "get_baggage",
    "inject_headers",
    "is_recording",
    "library_span",
    "new_trace",
    "sampler_from",
    "semconv",
    "set_span_attributes",
    "setup_tracing",
    "start_span",
    "start_trace",
    "tracing_counts",
]
