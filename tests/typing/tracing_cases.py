"""The public types of tracing, as a type checker sees them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import assert_type

from opentelemetry.sdk.trace import TracerProvider

from undercroft.monitoring import (
    AlwaysOn,
    AttributeValue,
    FinishedSpan,
    ParentBased,
    Sampler,
    Span,
    SpanLink,
    SpanProcessor,
    TraceIdRatio,
    TracingCounts,
    TracingService,
    TracingSetup,
    baggage,
    continue_from,
    end_span,
    extract_headers,
    generate_span_id,
    get_active_span,
    get_baggage,
    inject_headers,
    is_recording,
    library_span,
    new_trace,
    sampler_from,
    semconv,
    set_span_attributes,
    setup_tracing,
    start_span,
    start_trace,
    tracing_counts,
)
from undercroft.monitoring.otlp import ExportCounts, OtlpExporter


async def every_form_of_span(parent: Span) -> None:
    with start_span("work") as span:
        assert_type(span, Span)
    async with start_span("work", parent, kind="server", attributes={"a": object()}) as span:
        assert_type(span, Span)
    start_span("work", parent.span_id, links=[parent, new_trace(), SpanLink(trace_id="", span_id="")])
    start_span("work", start_time=datetime.now(UTC))
    assert_type(start_trace("work"), Span)
    assert_type(end_span("id"), Span | None)
    assert_type(end_span(parent), Span | None)
    assert_type(set_span_attributes(parent, {"a": 1}), Span | None)
    assert_type(get_active_span(), Span | None)
    assert_type(get_active_span("id"), Span | None)
    start_span("work", kind="sever")  # E: arg-type
    start_span("work", 7)  # E: arg-type
    start_span("work", start_time=1.5)  # E: arg-type
    start_trace("work", parent=parent)  # E: call-arg
    end_span(None)  # E: arg-type


def what_a_span_has(span: Span) -> None:
    assert_type(span.trace_id, str)
    assert_type(span.parent_span_id, str | None)
    assert_type(span.start_time, datetime)
    assert_type(span.end_time, datetime | None)
    assert_type(span.duration, float | None)
    assert_type(span.attributes, dict[str, AttributeValue])
    chained = span.set_attribute("a", 1).set_attributes({"b": 2}).add_event("e", {"c": 3}).add_link(span)
    assert_type(chained.record_exception(ValueError()).set_status("error", "x").update_name("y"), Span)
    assert_type(span.end(), None)
    span.set_status("failed")  # E: arg-type
    span.record_exception("text")  # E: arg-type


@start_span("charge")
def charge(amount: float, *, currency: str = "EUR") -> int:
    return 1


@start_span("fetch")
async def fetch(key: str) -> bytes:
    return b""


async def decorated_functions_keep_their_signature() -> None:
    assert_type(charge(1.5, currency="USD"), int)
    assert_type(await fetch("a"), bytes)
    charge("1.5")  # E: arg-type
    charge(1.5, currenzy="USD")  # E: call-arg
    await fetch(7)  # E: arg-type


def propagation() -> None:
    assert_type(inject_headers(), dict[str, str])
    headers: dict[str, str] = {}
    assert_type(inject_headers(headers), dict[str, str])
    extract_headers(headers)
    extract_headers([("traceparent", "x")])
    with continue_from(headers) as carried:
        assert_type(carried.baggage, str)
    with baggage(user="1", plan=None):
        assert_type(get_baggage(), Mapping[str, str])
    baggage(user=1)  # E: arg-type
    inject_headers([("a", "b")])  # E: call-overload
    extract_headers(headers, "x")  # E: call-arg


def library_spans() -> None:
    with library_span("SELECT", kind="client", at=new_trace()) as span:
        assert_type(span, Span | None)
        span.set_attribute(semconv.DB_SYSTEM_NAME, "sqlite")  # E: union-attr
    assert_type(is_recording(), bool)
    assert_type(semconv.HTTP_ROUTE, str)


class Printer:
    def on_end(self, span: FinishedSpan) -> None:
        print(span.name, span.duration_ns)
        span.name = "other"  # E: misc

    async def flush(self) -> None: ...
    async def aclose(self) -> None: ...


class Half:
    def on_end(self, span: FinishedSpan) -> None: ...


def hide(name: str, value: object) -> object:
    return value


async def setting_up(provider: TracerProvider) -> None:
    processor: SpanProcessor = Printer()
    assert_type(setup_tracing(processors=[processor, Printer()], redact=hide), TracingSetup)
    async with setup_tracing(sampler=ParentBased(TraceIdRatio(0.1)), opentelemetry="auto") as setup:
        await setup.flush()
    setup_tracing(opentelemetry=provider)
    setup_tracing(opentelemetry=True)
    assert_type(sampler_from("always_on"), Sampler)
    assert_type(tracing_counts(), TracingCounts)
    assert_type(TracingService().start_span("work"), Span)
    assert_type(TracingService().generate_span_id(), str)
    assert_type(generate_span_id(), str)
    setup_tracing(processors=[Half()])  # E: list-item
    setup_tracing(opentelemetry="always")  # E: arg-type
    setup_tracing(sampler=0.1)  # E: arg-type
    ParentBased(0.1)  # E: arg-type
    AlwaysOn(1)  # E: call-arg


async def exporting(environ: Mapping[str, str]) -> None:
    exporter = OtlpExporter("https://c/v1/traces", headers={"a": "b"}, timeout="10s", compression="gzip")
    setup_tracing(processors=[exporter])
    assert_type(exporter.counts, ExportCounts)
    assert_type(OtlpExporter.from_environ(environ), OtlpExporter | None)
    assert_type(exporter.close(), None)
    OtlpExporter(protocol="grpc")  # E: arg-type
    OtlpExporter(compression="br")  # E: arg-type
    OtlpExporter("https://c", timout=5)  # E: call-arg
