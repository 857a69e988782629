"""The functions of tracing as one object, for code that is given its parts."""

from __future__ import annotations

from undercroft._core.context import new_span_id, new_trace_id
from undercroft.monitoring._tracing._propagation import continue_from, extract_headers, inject_headers
from undercroft.monitoring._tracing._start import (
    clear_spans,
    end_span,
    get_active_span,
    set_span_attributes,
    start_span,
    start_trace,
)


class TracingService:
    """The process's tracer. Holds nothing: any number of instances are the same, and none needs to be closed."""

    start_span = staticmethod(start_span)
    start_trace = staticmethod(start_trace)
    end_span = staticmethod(end_span)
    set_span_attributes = staticmethod(set_span_attributes)
    get_active_span = staticmethod(get_active_span)
    inject_headers = staticmethod(inject_headers)
    extract_headers = staticmethod(extract_headers)
    continue_from = staticmethod(continue_from)
    clear_spans = staticmethod(clear_spans)
    generate_trace_id = staticmethod(new_trace_id)
    generate_span_id = staticmethod(new_span_id)
