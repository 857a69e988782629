"""Where spans are exported to, as the settings have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from undercroft._core.url import Url

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
OTHERS = (
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_TRACES_EXPORTER",
    "OTEL_SDK_DISABLED",
    "OTEL_RESOURCE_ATTRIBUTES",
)
"""What goes with an endpoint: https://opentelemetry.io/docs/specs/otel/protocol/exporter/."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceExport:
    """An endpoint and what goes with it. Shows itself as the endpoint's URL, secrets hidden."""

    url: Url
    origin: str
    """The variable it came from, without `_FILE`, or the argument."""
    others: Mapping[str, str] = field(default_factory=dict, repr=False)
    """OpenTelemetry's variables that are set, by their names; headers among them are secrets."""

    def variables(self) -> dict[str, str]:
        """Return it as OpenTelemetry's variables."""
        name = self.origin if self.origin in ENDPOINTS else ENDPOINTS[0]
        return {**self.others, name: self.url.reveal()}

    def __str__(self) -> str:
        return str(self.url)
