"""Spans over OTLP/HTTP: what a receiver decodes, and what becomes of them when it does not answer as it should."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import anyio
import pytest

from tests.monitoring.tracing._receiver import STALL, answer, partial_success, receiver
from undercroft._core.context import Correlation, Trace, correlate
from undercroft.monitoring import FinishedSpan, SpanLink, setup_tracing, start_span
from undercroft.monitoring.otlp import ExportCounts, OtlpExporter
from undercroft.testing.fault_proxy import FaultProxy

pytestmark = pytest.mark.anyio
REMOTE = Trace(trace_id="4bf92f3577b34da6a3ce929d0e0e4736", span_id="00f067aa0ba902b7", state="a=b")


def span(name: str = "work") -> FinishedSpan:
    return FinishedSpan(trace_id=REMOTE.trace_id, span_id="53995c3f42cd8ad8", name=name, start_time_ns=1, end_time_ns=2)


@asynccontextmanager
async def exporting(url: str, **options: Any) -> AsyncIterator[OtlpExporter]:
    exporter = OtlpExporter(url, **{"first_wait": 0.01, "drain_timeout": 5, **options})
    try:
        yield exporter
    finally:
        await exporter.aclose()


def _trace_something() -> None:
    with (
        correlate(Correlation(trace=REMOTE, request_id="r1", job_id="j1")),
        start_span("outer", kind="server") as outer,
    ):
        outer.set_attributes({"s": "é", "b": True, "i": -(2**63), "f": 1.5, "l": [1, 2], "e": []})
        outer.add_event("queued", {"depth": 3}).add_link(
            SpanLink(trace_id="ab" * 16, span_id="cd" * 8, trace_state="x=y")
        )
        outer.set_status("error", "too slow")
        with start_span("inner", kind="client"):
            pass


async def test_receiver_decodes_everything_from_protobuf() -> None:
    async with receiver() as received:
        exporter = OtlpExporter(received.url, resource={"service.name": "shop"})
        async with setup_tracing(processors=[exporter]):
            _trace_something()

    (request,) = received.requests
    assert (request.method, request.path) == ("POST", "/v1/traces")
    (group,) = request.message.resource_spans
    resource = {item.key: item.value.string_value for item in group.resource.attributes}
    assert (resource["service.name"], resource["telemetry.sdk.name"]) == ("shop", "undercroft")
    (scope,) = group.scope_spans
    assert scope.scope.name == "undercroft"
    inner, outer = scope.spans
    assert (outer.trace_id.hex(), outer.parent_span_id.hex()) == (REMOTE.trace_id, REMOTE.span_id)
    assert inner.parent_span_id == outer.span_id
    assert (outer.kind, inner.kind, outer.trace_state) == (2, 3, "a=b")
    assert (outer.flags, inner.flags) == (0x301, 0x101)
    assert outer.start_time_unix_nano <= inner.start_time_unix_nano <= inner.end_time_unix_nano
    values = {item.key: item.value for item in outer.attributes}
    assert (values["s"].string_value, values["b"].bool_value, values["i"].int_value) == ("é", True, -(2**63))
    assert (values["f"].double_value, [item.int_value for item in values["l"].array_value.values]) == (1.5, [1, 2])
    assert values["e"].HasField("array_value")
    assert (values["undercroft.request_id"].string_value, values["undercroft.job_id"].string_value) == ("r1", "j1")
    assert (outer.events[0].name, outer.events[0].attributes[0].value.int_value) == ("queued", 3)
    assert (outer.links[0].trace_id.hex(), outer.links[0].trace_state) == ("ab" * 16, "x=y")
    assert (outer.status.code, outer.status.message, inner.status.code) == (2, "too slow", 0)


async def test_receiver_decodes_everything_from_json() -> None:
    async with receiver() as received:
        exporter = OtlpExporter(received.url, protocol="http/json")
        async with setup_tracing(processors=[exporter]):
            _trace_something()

    (request,) = received.requests
    (group,) = request.json["resourceSpans"]
    inner, outer = group["scopeSpans"][0]["spans"]
    assert (outer["traceId"], outer["parentSpanId"]) == (REMOTE.trace_id, REMOTE.span_id)
    assert inner["parentSpanId"] == outer["spanId"]
    assert (outer["kind"], outer["flags"], outer["traceState"]) == (2, 0x301, "a=b")
    assert int(outer["startTimeUnixNano"]) <= int(outer["endTimeUnixNano"])
    assert isinstance(outer["startTimeUnixNano"], str)
    values = {item["key"]: item["value"] for item in outer["attributes"]}
    assert values["s"] == {"stringValue": "é"}
    assert (values["b"], values["i"]) == ({"boolValue": True}, {"intValue": str(-(2**63))})
    assert (values["f"], values["e"]) == ({"doubleValue": 1.5}, {"arrayValue": {"values": []}})
    assert values["l"] == {"arrayValue": {"values": [{"intValue": "1"}, {"intValue": "2"}]}}
    assert outer["events"][0]["attributes"] == [{"key": "depth", "value": {"intValue": "3"}}]
    assert outer["links"][0]["spanId"] == "cd" * 8
    assert outer["status"] == {"code": 2, "message": "too slow"}


async def test_both_forms_say_the_same() -> None:
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    from undercroft.monitoring._tracing._otlp_encode import JsonEncoding, ProtobufEncoding

    given = [span("a"), span("é")]
    message = ExportTraceServiceRequest.FromString(ProtobufEncoding().encode(given, {"service.name": "shop"}))
    import json

    as_json = json.loads(JsonEncoding().encode(given, {"service.name": "shop"}))
    for one in as_json["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        _ids_to_base64(one)
    assert ParseDict(as_json, ExportTraceServiceRequest()) == message


def _ids_to_base64(span: dict[str, Any]) -> None:
    """OTLP's JSON has ids in hex, where protobuf's own mapping has base64."""
    import base64

    for name in ("traceId", "spanId", "parentSpanId"):
        span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()


@pytest.mark.parametrize("compression", ["none", "gzip"])
async def test_body_is_compressed_as_asked(compression: Any) -> None:
    async with receiver() as received, exporting(received.url, compression=compression) as exporter:
        exporter.on_end(span("a"))
        await exporter.flush()

    assert received.requests[0].headers.get("content-encoding", "none") == compression
    assert received.span_names == ["a"]


async def test_headers_and_the_endpoints_user_are_sent_and_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with receiver() as received:
        received.replies = [answer(401)]
        url = received.url.replace("http://", "http://ann:hunter2@") + "?token=hunter3"
        async with exporting(url, headers={"x-api-key": "hunter4"}) as exporter:
            exporter.on_end(span())
            await exporter.flush()
            shown = repr(exporter)

    (request,) = received.requests
    assert request.headers["authorization"] == "Basic YW5uOmh1bnRlcjI="
    assert (request.headers["x-api-key"], request.path) == ("hunter4", "/v1/traces?token=hunter3")
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("undercroft")]
    assert len(ours) == 1
    assert "it answered 401" in ours[0]
    assert "hunter" not in shown + "".join(ours)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_passing_failure_is_tried_again(status: int) -> None:
    async with receiver() as received, exporting(received.url) as exporter:
        received.replies = [answer(status), answer(status)]
        exporter.on_end(span("a"))
        await exporter.flush()

        assert received.span_names == ["a"] * 3
        assert exporter.counts == ExportCounts(exported=1)


@pytest.mark.parametrize("status", [301, 400, 401, 413, 500, 501])
async def test_other_answers_are_final(status: int) -> None:
    async with receiver() as received, exporting(received.url) as exporter:
        received.replies = [answer(status, b"", "Location: http://127.0.0.1:1/")]
        exporter.on_end(span("a"))
        await exporter.flush()

        assert len(received.requests) == 1
        assert exporter.counts == ExportCounts(failed=1)


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_retry_after_is_waited_for(form: str) -> None:
    at = datetime.now(UTC) + timedelta(seconds=2)
    value = "1" if form == "seconds" else format_datetime(at, usegmt=True)
    async with receiver() as received, exporting(received.url) as exporter:
        received.replies = [answer(503, b"", f"Retry-After: {value}")]
        began = time.monotonic()
        exporter.on_end(span())
        await exporter.flush()

    assert exporter.counts.exported == 1
    assert time.monotonic() - began > 0.5


async def test_retry_after_beyond_the_limit_gives_up_at_once() -> None:
    async with receiver() as received, exporting(received.url, retry_for=1) as exporter:
        received.replies = [answer(429, b"", "Retry-After: 3600")]
        exporter.on_end(span())
        await exporter.flush()

    assert exporter.counts == ExportCounts(failed=1)


@pytest.mark.parametrize("value", ["soon", "-1", "9" * 400, "Mon, 99 Foo 2026 00:00:00 GMT", "\xb2"])
async def test_garbage_in_retry_after_breaks_nothing(value: str) -> None:
    reply = f"HTTP/1.1 503 X\r\nContent-Length: 0\r\nRetry-After: {value}\r\n\r\n".encode("latin-1")
    async with receiver() as received, exporting(received.url, retry_for=1) as exporter:
        received.replies = [reply]
        exporter.on_end(span())
        await exporter.flush()

    assert exporter.counts.exported + exporter.counts.failed == 1


async def test_refused_connection_is_tried_again_until_the_limit() -> None:
    with socket.socket() as unused:  # bound and not listening: nobody else can take the port
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1/traces"
        async with exporting(url, retry_for=0.3) as exporter:
            exporter.on_end(span())
            await exporter.flush()

    assert exporter.counts == ExportCounts(failed=1)


async def test_receiver_that_comes_back_gets_what_waited() -> None:
    async with receiver() as received, FaultProxy("127.0.0.1", received.port) as proxy:
        await proxy.refuse()
        async with exporting(proxy.url("http://{host}:{port}/v1/traces"), interval=0.01) as exporter:
            exporter.on_end(span("a"))
            await asyncio.sleep(0.05)  # it has been tried, or is about to be: either way nothing came
            assert received.requests == []
            proxy.heal()
            await exporter.flush()

    assert received.span_names == ["a"]
    assert exporter.counts == ExportCounts(exported=1)


async def test_reply_that_is_cut_is_asked_for_again() -> None:
    async with receiver() as received, FaultProxy("127.0.0.1", received.port) as proxy:
        proxy.cut_mid_reply(after_bytes=5, to=b"POST")
        async with exporting(proxy.url("http://{host}:{port}/v1/traces")) as exporter:
            exporter.on_end(span("a"))
            await exporter.flush()

    assert received.span_names == ["a", "a"]  # delivered twice: a receiver tells spans apart by their ids
    assert exporter.counts == ExportCounts(exported=1)


async def test_stalled_request_is_given_up_after_its_timeout() -> None:
    async with receiver() as received, exporting(received.url, timeout=0.1) as exporter:
        received.replies = [STALL]
        exporter.on_end(span("a"))
        await exporter.flush()

    assert received.span_names == ["a", "a"]
    assert exporter.counts == ExportCounts(exported=1)


@pytest.mark.parametrize(
    "reply", [b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"SMTP ready\r\n"]
)
async def test_garbage_instead_of_http_is_no_delivery(reply: bytes) -> None:
    async with receiver() as received, exporting(received.url, retry_for=0.2, timeout=0.3) as exporter:
        received.replies = [reply] * 100
        exporter.on_end(span())
        await exporter.flush()

    assert exporter.counts == ExportCounts(failed=1)


@pytest.mark.parametrize("body", [b"\xff\xff\xff", b"<html>", b"", b"x" * 200_000])
@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
async def test_garbage_in_a_success_is_still_one(protocol: Any, body: bytes) -> None:
    async with receiver() as received, exporting(received.url, protocol=protocol) as exporter:
        received.replies = [answer(200, body)]
        exporter.on_end(span())
        await exporter.flush()

    assert exporter.counts == ExportCounts(exported=1)


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
async def test_partial_success_is_counted_and_told_once(protocol: Any, caplog: pytest.LogCaptureFixture) -> None:
    json_body = b'{"partialSuccess": {"rejectedSpans": "1", "errorMessage": "too old"}}'
    body = partial_success(1, "too old") if protocol == "http/protobuf" else json_body
    async with receiver() as received, exporting(received.url, protocol=protocol) as exporter:
        received.replies = [answer(200, body), answer(200, body)]
        for _ in range(2):
            exporter.on_end(span())
            exporter.on_end(span())
            await exporter.flush()

    assert exporter.counts == ExportCounts(exported=2, rejected=2)
    assert len(received.requests) == 2
    assert ["too old" in record.getMessage() for record in caplog.records] == [True]


async def test_failure_is_told_when_it_begins_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "undercroft.monitoring")
    async with receiver() as received, exporting(received.url) as exporter:
        received.replies = [answer(400), answer(400), answer(200)]
        for _ in range(3):
            exporter.on_end(span())
            await exporter.flush()

    assert [record.levelname for record in caplog.records if record.name == "undercroft.monitoring"] == [
        "WARNING",
        "INFO",
    ]


async def test_full_buffer_keeps_the_oldest_and_counts_the_rest() -> None:
    async with receiver() as received, exporting(received.url, buffer_size=3, batch_size=3, timeout=0.2) as exporter:
        received.replies = [STALL]
        came = asyncio.Event()
        received.on_request = came.set
        for number in range(3):
            exporter.on_end(span(f"first {number}"))
        await asyncio.wait_for(came.wait(), 5)  # these are out; now the buffer is empty and the receiver hangs
        for number in range(5):
            exporter.on_end(span(f"second {number}"))
        await exporter.flush()

    assert exporter.counts == ExportCounts(exported=6, dropped=2)
    assert received.requests[-1].span_names == ["second 0", "second 1", "second 2"]


async def test_batches_are_no_larger_than_asked() -> None:
    async with receiver() as received, exporting(received.url, batch_size=10) as exporter:
        for number in range(25):
            exporter.on_end(span(f"{number}"))
        await exporter.flush()

    assert max(len(request.span_names) for request in received.requests) <= 10
    assert received.span_names == [f"{number}" for number in range(25)]


async def test_span_waits_no_longer_than_the_interval() -> None:
    async with receiver() as received, exporting(received.url, interval=0.05) as exporter:
        came = asyncio.Event()
        received.on_request = came.set
        exporter.on_end(span())
        await asyncio.wait_for(came.wait(), 5)


async def test_many_threads_lose_nothing() -> None:
    async with receiver() as received, exporting(received.url, buffer_size=10_000, batch_size=100) as exporter:

        def work() -> None:
            for _ in range(250):
                exporter.on_end(span())

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await anyio.to_thread.run_sync(thread.join)

    assert exporter.counts == ExportCounts(exported=2_000)
    assert len(received.span_names) == 2_000


async def test_slow_receiver_does_not_hold_its_callers() -> None:
    async with receiver() as received, exporting(received.url, batch_size=1, drain_timeout=0.1) as exporter:
        received.replies = [STALL] * 10
        began = time.monotonic()
        for _ in range(1_000):
            exporter.on_end(span())
        assert time.monotonic() - began < 1.0


async def test_closing_delivers_what_is_left() -> None:
    async with receiver() as received, exporting(received.url) as exporter:
        exporter.on_end(span("a"))

    assert received.span_names == ["a"]
    assert exporter.counts == ExportCounts(exported=1)


async def test_closing_ends_at_its_deadline_and_counts_what_it_dropped(caplog: pytest.LogCaptureFixture) -> None:
    async with receiver() as received:
        exporter = OtlpExporter(received.url, batch_size=2, drain_timeout=0.2)
        received.replies = [STALL] * 10
        for _ in range(5):
            exporter.on_end(span())
        began = time.monotonic()
        await exporter.aclose()
        took = time.monotonic() - began

    assert 0.1 < took < 1.2
    assert exporter.counts == ExportCounts(dropped=5)
    assert "closing was over" in caplog.text


async def test_closing_does_not_wait_for_a_retry_that_comes_too_late() -> None:
    async with receiver() as received:
        exporter = OtlpExporter(received.url, drain_timeout=30, first_wait=0.01)
        received.replies = [answer(503, b"", "Retry-After: 50")]
        exporter.on_end(span())
        began = time.monotonic()
        await exporter.aclose()

    assert time.monotonic() - began < 5
    assert exporter.counts == ExportCounts(failed=1)


async def test_closed_exporter_drops_and_counts() -> None:
    async with receiver() as received, exporting(received.url) as exporter:
        await exporter.aclose()
        exporter.on_end(span())

    assert exporter.counts == ExportCounts(dropped=1)
    assert received.requests == []


async def test_flush_ends_at_its_deadline() -> None:
    async with receiver() as received, exporting(received.url, drain_timeout=0.1) as exporter:
        received.replies = [STALL] * 10
        exporter.on_end(span())
        began = time.monotonic()
        await exporter.flush()

        assert time.monotonic() - began < 2


async def test_flush_of_nothing_returns_at_once_and_starts_no_thread() -> None:
    exporter = OtlpExporter("http://127.0.0.1:1/v1/traces")
    await exporter.flush()
    await exporter.aclose()

    assert exporter.counts == ExportCounts()


def test_program_without_an_event_loop_closes_it_too() -> None:
    exporter = OtlpExporter("http://127.0.0.1:1/v1/traces", drain_timeout=0.2, first_wait=0.01)
    with setup_tracing(processors=[exporter]):
        start_span("work").end()
    exporter.close()
    exporter.close()

    assert exporter.counts == ExportCounts(failed=1)


def test_forked_child_exports_its_own_spans_only() -> None:
    import subprocess
    import sys

    code = """
import os, sys, threading, http.server
from undercroft.monitoring import setup_tracing, start_span
from undercroft.monitoring.otlp import OtlpExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
names = []
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        message = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
        names.append([span.name for span in message.resource_spans[0].scope_spans[0].spans])
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args): ...
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
exporter = OtlpExporter(f"http://127.0.0.1:{server.server_port}/v1/traces", interval=60)
setup_tracing(processors=[exporter])
start_span("of the parent").end()
child = os.fork()
if not child:
    start_span("of the child").end()
    exporter.close()
    os._exit(exporter.counts.exported)
threading.Thread(target=server.serve_forever, daemon=True).start()
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
exporter.close()
print(status, exporter.counts.exported, sorted(names))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)

    assert done.stdout.strip() == "1 1 [['of the child'], ['of the parent']]", done.stderr
