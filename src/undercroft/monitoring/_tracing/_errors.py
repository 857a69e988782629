"""What tracing raises. Calls that say what to build can raise; measuring, ending and exporting never do.

UndercroftError
├── SpanUsageError (TypeError)     a span was used as it cannot be: entered twice, around a generator
├── SpanValueError (ValueError)    a kind, a status or a parent is none
├── BaggageError (ValueError)      a name that a header cannot carry, or more than it can
└── ConfigError (ValueError)
    ├── SamplerError               there is no such sampler, or no such share
    ├── OtlpSettingError           where to export to, or how, cannot be
    └── OpenTelemetryError         OpenTelemetry's tracer was asked for, and none is configured
"""

from __future__ import annotations

from undercroft._core.errors import ConfigError, UndercroftError


class SpanUsageError(UndercroftError, TypeError):
    """A span was entered twice or after its end, or decorates a generator, whose work happens between its yields."""

    code = "UC1501"


class SpanValueError(UndercroftError, ValueError):
    """A span's kind, status or parent is not one there is."""

    code = "UC1502"


class BaggageError(UndercroftError, ValueError):
    """Baggage has a name that is no token (RFC 9110), or would be more than W3C asks everyone to pass on."""

    code = "UC1503"


class SamplerError(ConfigError):
    """`OTEL_TRACES_SAMPLER` names no sampler, or its argument is not a share from 0 to 1."""

    code = "UC1504"


class OtlpSettingError(ConfigError):
    """An exporter's endpoint, header, protocol, compression or timeout cannot be used."""

    code = "UC1505"


class OpenTelemetryError(ConfigError):
    """Spans were to be made with OpenTelemetry's tracer provider, and none is configured."""

    code = "UC1506"
