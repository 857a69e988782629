"""Spans and lines, as a tracer and the JSON format make them."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

from undercroft.monitoring import FinishedSpan

BEGAN_S = 1_750_000_000.0
"""Where a `VirtualClock` starts."""

_numbers = itertools.count(1)


def new_trace_id() -> str:
    return f"{next(_numbers):06x}".ljust(32, "e")


def new_span_id() -> str:
    return f"{next(_numbers):06x}".ljust(16, "d")


def span(
    name: str = "work",
    *,
    trace_id: str = "",
    span_id: str = "",
    parent: FinishedSpan | None = None,
    at_ms: float = 0,
    ms: float = 1,
    **more: Any,
) -> FinishedSpan:
    """Return a span that began `at_ms` after the clock's start, in the trace and request of its parent."""
    if parent is not None:
        more = {"request_id": parent.request_id, "job_id": parent.job_id, "parent_span_id": parent.span_id, **more}
        trace_id = trace_id or parent.trace_id
    start = int(BEGAN_S) * 10**9 + round(at_ms * 1e6)
    return FinishedSpan(
        name=name,
        trace_id=trace_id or new_trace_id(),
        span_id=span_id or new_span_id(),
        start_time_ns=start,
        end_time_ns=start + round(ms * 1e6),
        **more,
    )


def line(
    message: str = "said",
    *,
    inside: FinishedSpan | None = None,
    at_ms: float = 0,
    level: str = "info",
    logger: str = "shop",
    **more: Any,
) -> dict[str, Any]:
    """Return a line written `at_ms` after the clock's start, in the trace and request of a span."""
    at = datetime.fromtimestamp(BEGAN_S + at_ms / 1000, tz=UTC).isoformat(timespec="milliseconds")
    named: dict[str, Any] = {"timestamp": at.replace("+00:00", "Z"), "level": level, "logger": logger}
    named["message"] = message
    if inside is not None:
        names = {"request_id": inside.request_id, "trace_id": inside.trace_id, "span_id": inside.span_id}
        named |= {key: value for key, value in {**names, "job_id": inside.job_id}.items() if value is not None}
    return named | more
