"""Which of the two formats a scraper wants, by its `Accept` header (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from collections.abc import Iterator

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_OPENMETRICS_VERSIONS = {"", "1.0.0"}
_TEXT_RANGES = {"text/plain", "text/*", "*/*"}
_TEXT_VERSIONS = {"", "0.0.4"}


def prefers_openmetrics(accept: str) -> bool:
    """Tell whether OpenMetrics 1.0 is named, and not less wanted than the text format."""
    openmetrics = text = 0.0
    for media_type, version, weight in _ranges(accept):
        if media_type == "application/openmetrics-text" and version in _OPENMETRICS_VERSIONS:
            openmetrics = max(openmetrics, weight)
        elif media_type in _TEXT_RANGES and version in _TEXT_VERSIONS:
            text = max(text, weight)
    return openmetrics > 0 and openmetrics >= text


def _ranges(accept: str) -> Iterator[tuple[str, str, float]]:
    for entry in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in entry.split(";"))
        values = dict(parameter.partition("=")[::2] for parameter in parameters)
        yield media_type, values.get("version", "").strip('"'), _weight(values.get("q", "1"))


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
