"""Write finished spans as OTLP's `ExportTraceServiceRequest`, in protobuf or in its JSON form, and read the answer.

Source: https://opentelemetry.io/docs/specs/otlp/ and opentelemetry-proto 1.x. The JSON form differs from protobuf's own
mapping: ids are hex, enums are numbers; 64-bit numbers are texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from undercroft._core.extras import require_module
from undercroft.monitoring._tracing._protocol import AttributeValue, FinishedSpan, SpanEvent, SpanLink

SCOPE = "undercroft"
_KINDS = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
_STATUSES = {"unset": 0, "ok": 1, "error": 2}
# Span.flags: bits 8 and 9 say whether it is known that the parent is remote, and whether it is.
_IS_REMOTE_KNOWN, _IS_REMOTE, _SAMPLED = 0x100, 0x200, 0x01


class Encoding(Protocol):
    """One of the two forms."""

    content_type: str

    def encode(self, spans: Sequence[FinishedSpan], resource: Mapping[str, AttributeValue]) -> bytes:
        """Return the body of a request."""

    def rejected(self, body: bytes) -> tuple[int, str]:
        """Return how many spans a successful answer says were rejected, and why; `(0, "")` if it cannot be read."""


class JsonEncoding:
    """`http/json`. Needs no package."""

    content_type = "application/json"

    def encode(self, spans: Sequence[FinishedSpan], resource: Mapping[str, AttributeValue]) -> bytes:
        scope = {"scope": {"name": SCOPE}, "spans": [_json_span(span) for span in spans]}
        return msgspec.json.encode(
            {"resourceSpans": [{"resource": {"attributes": _json_attributes(resource)}, "scopeSpans": [scope]}]}
        )

    def rejected(self, body: bytes) -> tuple[int, str]:
        try:
            partial = msgspec.json.decode(body).get("partialSuccess") or {}
            return int(partial.get("rejectedSpans") or 0), str(partial.get("errorMessage") or "")
        except (msgspec.DecodeError, AttributeError, TypeError, ValueError):
            return 0, ""


class ProtobufEncoding:
    """`http/protobuf`. Raises MissingExtraError: opentelemetry-proto is not installed."""

    content_type = "application/x-protobuf"

    def __init__(self) -> None:
        needed = {"extra": "otlp", "needed_for": "the http/protobuf protocol of OtlpExporter"}
        self._trace = require_module("opentelemetry.proto.trace.v1.trace_pb2", **needed)
        self._common = require_module("opentelemetry.proto.common.v1.common_pb2", **needed)
        self._service = require_module("opentelemetry.proto.collector.trace.v1.trace_service_pb2", **needed)

    def encode(self, spans: Sequence[FinishedSpan], resource: Mapping[str, AttributeValue]) -> bytes:
        request = self._service.ExportTraceServiceRequest()
        group = request.resource_spans.add()
        group.resource.attributes.extend(self._attributes(resource))
        scope = group.scope_spans.add()
        scope.scope.name = SCOPE
        scope.spans.extend(self._span(span) for span in spans)
        encoded: bytes = request.SerializeToString()
        return encoded

    def rejected(self, body: bytes) -> tuple[int, str]:
        answer = self._service.ExportTraceServiceResponse()
        try:
            answer.ParseFromString(body)
        except Exception:  # google.protobuf.message.DecodeError, and whatever an implementation adds
            return 0, ""
        return answer.partial_success.rejected_spans, answer.partial_success.error_message

    def _span(self, span: FinishedSpan) -> Any:
        return self._trace.Span(
            trace_id=bytes.fromhex(span.trace_id),
            span_id=bytes.fromhex(span.span_id),
            parent_span_id=bytes.fromhex(span.parent_span_id or ""),
            trace_state=span.trace_state,
            flags=_flags(span),
            name=span.name,
            kind=_KINDS[span.kind],
            start_time_unix_nano=span.start_time_ns,
            end_time_unix_nano=span.end_time_ns,
            attributes=self._attributes(_all_attributes(span)),
            dropped_attributes_count=span.dropped_attributes,
            events=[self._event(event) for event in span.events],
            dropped_events_count=span.dropped_events,
            links=[self._link(link) for link in span.links],
            dropped_links_count=span.dropped_links,
            status=self._trace.Status(code=_STATUSES[span.status], message=span.status_message),
        )

    def _event(self, event: SpanEvent) -> Any:
        return self._trace.Span.Event(
            name=event.name, time_unix_nano=event.time_ns, attributes=self._attributes(event.attributes)
        )

    def _link(self, link: SpanLink) -> Any:
        return self._trace.Span.Link(
            trace_id=bytes.fromhex(link.trace_id),
            span_id=bytes.fromhex(link.span_id),
            trace_state=link.trace_state,
            attributes=self._attributes(link.attributes),
        )

    def _attributes(self, attributes: Mapping[str, AttributeValue]) -> list[Any]:
        return [self._common.KeyValue(key=key, value=self._value(value)) for key, value in attributes.items()]

    def _value(self, value: AttributeValue) -> Any:
        if isinstance(value, list):
            values = [self._value(item) for item in value]
            return self._common.AnyValue(array_value=self._common.ArrayValue(values=values))
        if isinstance(value, bool):
            return self._common.AnyValue(bool_value=value)
        if isinstance(value, int):
            return self._common.AnyValue(int_value=value)
        if isinstance(value, float):
            return self._common.AnyValue(double_value=value)
        return self._common.AnyValue(string_value=value)


def _all_attributes(span: FinishedSpan) -> dict[str, AttributeValue]:
    # Not of the conventions, and told to whoever looks for one request's spans in another system.
    own = {"undercroft.request_id": span.request_id, "undercroft.job_id": span.job_id}
    return {**span.attributes, **{name: value for name, value in own.items() if value is not None}}


def _flags(span: FinishedSpan) -> int:
    return _SAMPLED | _IS_REMOTE_KNOWN | (_IS_REMOTE if span.is_parent_remote else 0)


def _json_span(span: FinishedSpan) -> dict[str, Any]:
    return {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "parentSpanId": span.parent_span_id or "",
        "traceState": span.trace_state,
        "flags": _flags(span),
        "name": span.name,
        "kind": _KINDS[span.kind],
        "startTimeUnixNano": str(span.start_time_ns),
        "endTimeUnixNano": str(span.end_time_ns),
        "attributes": _json_attributes(_all_attributes(span)),
        "droppedAttributesCount": span.dropped_attributes,
        "events": [
            {"name": event.name, "timeUnixNano": str(event.time_ns), "attributes": _json_attributes(event.attributes)}
            for event in span.events
        ],
        "droppedEventsCount": span.dropped_events,
        "links": [
            {
                "traceId": link.trace_id,
                "spanId": link.span_id,
                "traceState": link.trace_state,
                "attributes": _json_attributes(link.attributes),
            }
            for link in span.links
        ],
        "droppedLinksCount": span.dropped_links,
        "status": {"code": _STATUSES[span.status], "message": span.status_message},
    }


def _json_attributes(attributes: Mapping[str, AttributeValue]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _json_value(value)} for key, value in attributes.items()]


def _json_value(value: AttributeValue) -> dict[str, Any]:
    if isinstance(value, list):
        return {"arrayValue": {"values": [_json_value(item) for item in value]}}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"stringValue": value}
