"""What the process does: metrics that it counts, spans that it measures, errors and alerts, and one request's story.

    from undercroft.monitoring import increment, observe, start_span, timer

    increment("orders", labels={"shop": "berlin"})          # a counter; the process's, no set-up needed
    observe("checkout_seconds", 0.31)                       # a histogram
    with timer("import_seconds"), start_span("import") as span:
        span.set_attribute("rows", 12)                      # children, log lines and jobs inside carry its trace

`Counter`, `Gauge` and `Histogram` declare what matters; `render_prometheus` and `/metrics` expose it, for all processes
that `attach` one directory. `setup_tracing` says who takes finished spans; an `Infra` does that by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from undercroft._core.context import new_span_id as generate_span_id
from undercroft._core.context import new_trace_id as generate_trace_id
from undercroft._core.faces import load_late
from undercroft.monitoring._errors import (
    MetricDeclarationError,
    MetricLabelError,
    MetricNameError,
    MetricsDirectoryError,
    MetricTypeError,
    MetricValueError,
)
from undercroft.monitoring._metrics._declared import Counter, Gauge, Histogram
from undercroft.monitoring._metrics._face import (
    attach,
    clear_metrics,
    gauge,
    get_all_metrics,
    get_counter,
    get_gauge,
    get_histogram,
    increment,
    negotiate,
    observe,
    registry,
    render_openmetrics,
    render_prometheus,
    timer,
    track_metric,
)
from undercroft.monitoring._metrics._metric import Across
from undercroft.monitoring._metrics._names import MetricType
from undercroft.monitoring._metrics._registry import Registry
from undercroft.monitoring._metrics._series import CounterSeries, GaugeSeries, HistogramSeries
from undercroft.monitoring._metrics._timer import Timer
from undercroft.monitoring._metrics._values import HistogramValue, MetricValue, Reading
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

if TYPE_CHECKING:
    from undercroft.monitoring._audit._entry import AuditEntry, AuditOutcome
    from undercroft.monitoring._audit._errors import AuditDamagedError, AuditEntryError, AuditUnavailableError
    from undercroft.monitoring._audit._log import AuditLog, AuditVerdict, create_audit_log
    from undercroft.monitoring._audit._protocol import AuditMark, AuditStore
    from undercroft.monitoring._metrics._attachment import Attachment
    from undercroft.monitoring._metrics._scrape import METRICS_PATH, ScrapeAnswer, answer_scrape
    from undercroft.monitoring._metrics._service import MetricsService
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
    from undercroft.monitoring._tracing._service import TracingService
    from undercroft.monitoring._tracking._alerts import Alerts
    from undercroft.monitoring._tracking._categories import ErrorCategory, categorize_error
    from undercroft.monitoring._tracking._errors import (
        AlertRuleError,
        IncidentNotFoundError,
        IncidentTransitionError,
        TrackingError,
    )
    from undercroft.monitoring._tracking._event import AlertEvent, AlertState, AlertStatus
    from undercroft.monitoring._tracking._fingerprint import fingerprint_of
    from undercroft.monitoring._tracking._incident import Incident, Incidents, IncidentStatus, IncidentStep
    from undercroft.monitoring._tracking._percentiles import percentiles
    from undercroft.monitoring._tracking._performance import OperationReport, PerformanceReport, PerformanceTracker
    from undercroft.monitoring._tracking._rule import AlertRule, AlertSeverity
    from undercroft.monitoring._tracking._sample import ErrorSample
    from undercroft.monitoring._tracking._tracker import ErrorGroup, ErrorSnapshot, ErrorTracker, Hotspot, similarity

__all__ = [
    "Across",
    "AlertEvent",
    "AlertRule",
    "AlertRuleError",
    "AlertSeverity",
    "AlertState",
    "AlertStatus",
    "Alerts",
    "AlwaysOff",
    "AlwaysOn",
    "Attachment",
    "AttributeValue",
    "AuditDamagedError",
    "AuditEntry",
    "AuditEntryError",
    "AuditLog",
    "AuditMark",
    "AuditOutcome",
    "AuditStore",
    "AuditUnavailableError",
    "AuditVerdict",
    "BaggageError",
    "Counter",
    "CounterSeries",
    "ErrorCategory",
    "ErrorGroup",
    "ErrorSample",
    "ErrorSnapshot",
    "ErrorTracker",
    "FinishedSpan",
    "Gauge",
    "GaugeSeries",
    "Histogram",
    "HistogramSeries",
    "HistogramValue",
    "Hotspot",
    "Incident",
    "IncidentNotFoundError",
    "IncidentStatus",
    "IncidentStep",
    "IncidentTransitionError",
    "Incidents",
    "LineFilter",
    "METRICS_PATH",
    "MetricDeclarationError",
    "MetricLabelError",
    "MetricNameError",
    "MetricType",
    "MetricTypeError",
    "MetricValue",
    "MetricValueError",
    "MetricsDirectoryError",
    "MetricsService",
    "NO_SPAN",
    "NoSpan",
    "OpenTelemetryError",
    "OperationReport",
    "OtlpSettingError",
    "ParentBased",
    "PerformanceReport",
    "PerformanceTracker",
    "Reading",
    "RecentLevelError",
    "RecentMissingError",
    "RecentOptions",
    "RecentStore",
    "RecentUnavailableError",
    "Registry",
    "Sampler",
    "SamplerError",
    "ScrapeAnswer",
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
    "Timer",
    "TraceIdRatio",
    "TraceSummary",
    "TracingCounts",
    "TracingService",
    "TracingSetup",
    "TrackingError",
    "answer_scrape",
    "attach",
    "baggage",
    "categorize_error",
    "clear_metrics",
    "clear_spans",
    "continue_from",
    "continue_trace",
    "create_audit_log",
    "end_span",
    "extract_headers",
    "fingerprint_of",
    "gauge",
    "generate_span_id",
    "generate_trace_id",
    "get_active_span",
    "get_all_metrics",
    "get_baggage",
    "get_counter",
    "get_gauge",
    "get_histogram",
    "increment",
    "inject_headers",
    "is_recording",
    "library_span",
    "negotiate",
    "new_trace",
    "observe",
    "percentiles",
    "registry",
    "render_openmetrics",
    "render_prometheus",
    "sampler_from",
    "semconv",
    "set_span_attributes",
    "setup_tracing",
    "similarity",
    "start_span",
    "start_trace",
    "timer",
    "tracing_counts",
    "track_metric",
]

# Loaded on first use: whoever counts or traces does not pay for what few need.
__getattr__ = load_late(
    __name__,
    {
        "_audit._entry": (
            "AuditEntry",
            "AuditOutcome",
        ),
        "_audit._errors": (
            "AuditDamagedError",
            "AuditEntryError",
            "AuditUnavailableError",
        ),
        "_audit._log": (
            "AuditLog",
            "AuditVerdict",
            "create_audit_log",
        ),
        "_audit._protocol": (
            "AuditMark",
            "AuditStore",
        ),
        "_metrics._attachment": ("Attachment",),
        "_metrics._scrape": (
            "METRICS_PATH",
            "ScrapeAnswer",
            "answer_scrape",
        ),
        "_metrics._service": ("MetricsService",),
        "_recent": (
            "LineFilter",
            "RecentLevelError",
            "RecentMissingError",
            "RecentOptions",
            "RecentStore",
            "RecentUnavailableError",
            "Story",
            "StoryAmbiguousError",
            "StoryEntry",
            "StoryLine",
            "StoryNotFoundError",
            "StorySpan",
            "TraceSummary",
        ),
        "_tracing._service": ("TracingService",),
        "_tracking._alerts": ("Alerts",),
        "_tracking._categories": (
            "ErrorCategory",
            "categorize_error",
        ),
        "_tracking._errors": (
            "AlertRuleError",
            "IncidentNotFoundError",
            "IncidentTransitionError",
            "TrackingError",
        ),
        "_tracking._event": (
            "AlertEvent",
            "AlertState",
            "AlertStatus",
        ),
        "_tracking._fingerprint": ("fingerprint_of",),
        "_tracking._incident": (
            "Incident",
            "Incidents",
            "IncidentStatus",
            "IncidentStep",
        ),
        "_tracking._percentiles": ("percentiles",),
        "_tracking._performance": (
            "OperationReport",
            "PerformanceReport",
            "PerformanceTracker",
        ),
        "_tracking._rule": (
            "AlertRule",
            "AlertSeverity",
        ),
        "_tracking._sample": ("ErrorSample",),
        "_tracking._tracker": (
            "ErrorGroup",
            "ErrorSnapshot",
            "ErrorTracker",
            "Hotspot",
            "similarity",
        ),
    },
)


def __dir__() -> list[str]:
    return __all__
