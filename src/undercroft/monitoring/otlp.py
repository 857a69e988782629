"""Export spans over OTLP/HTTP, to a collector or to any vendor that takes OpenTelemetry's protocol.

    exporter = OtlpExporter("https://collector.internal:4318/v1/traces", resource={"service.name": "shop"})
    async with setup_tracing(processors=[exporter]):
        ...

Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp. Needs the extra `otlp`.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Any, Self

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.durations import Duration, to_seconds
from undercroft._core.extras import require_module
from undercroft.monitoring._tracing import _names as names
from undercroft.monitoring._tracing._otlp_batches import Batches, ExportCounts, Limits, Send
from undercroft.monitoring._tracing._otlp_encode import Encoding, JsonEncoding, ProtobufEncoding
from undercroft.monitoring._tracing._otlp_post import Post
from undercroft.monitoring._tracing._otlp_settings import (
    DEFAULT_ENDPOINT,
    Compression,
    Protocol,
    checked_compression,
    checked_headers,
    checked_protocol,
    checked_sizes,
    resource_from,
    settings_from,
    target_of,
)
from undercroft.monitoring._tracing._protocol import AttributeValue, FinishedSpan
from undercroft.monitoring._tracing._values import put_all

__all__ = ["ExportCounts", "OtlpExporter"]

_LEAST_INTERVAL_S = 0.01
"""The thread sleeps at least so long between batches that are not full, whatever is asked for."""


class OtlpExporter:
    """A `SpanProcessor` that sends spans in batches, from a thread of its own; lives until `aclose`.

    `on_end` only appends to a bounded buffer, in any thread; when that is full, new spans are dropped and counted. A
    batch is sent when it is full, or after `interval`. 429, 502, 503, 504 and failing connections are tried again, with
    growing waits and what `Retry-After` asks for, up to `retry_for`; other answers are final. What goes wrong is logged
    once when it begins and once when it is over. After a fork the child exports its own spans, and none of its
    parent's. Values of headers, and a user, password or query in the endpoint, are in no `repr` and no log line.
    Redirects are not followed: they would carry the headers away.
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_ENDPOINT,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: Duration = 10.0,
        compression: Compression = "none",
        protocol: Protocol = "http/protobuf",
        resource: Mapping[str, object] | None = None,
        buffer_size: int = 2_048,
        batch_size: int = 512,
        interval: Duration = 5.0,
        retry_for: Duration = 60.0,
        first_wait: Duration = 1.0,
        drain_timeout: Duration = 5.0,
        clock: Clock | None = None,
        transport: Any = None,
    ) -> None:
        """Take the settings; does no I/O, and starts no thread yet.

        Args:
            endpoint: The whole URL, with its path.
            headers: Sent with each request, such as a vendor's key.
            timeout: For one request, from the connection to the whole answer.
            resource: What the spans are of: `service.name` at least. Names of the SDK and its version are added.
            buffer_size: How many spans may wait.
            interval: The longest that a span waits for its batch to fill.
            retry_for: The longest that a batch is tried.
            first_wait: Before the second attempt; doubles with each, up to 30 s, and is varied by half.
            drain_timeout: The longest that `flush` and closing take.
            clock: For the dates of `Retry-After`, and for `retry_for`.
            transport: An `httpx2.AsyncBaseTransport` to use instead of the network.

        Raises:
            OtlpSettingError: The endpoint, a header, the compression or the protocol cannot be used.
            MissingExtraError: httpx2 or, for protobuf, opentelemetry-proto is not installed.
        """
        self._http = require_module("httpx2", extra="otlp", needed_for="OtlpExporter")
        self._target = target_of(endpoint)
        self._headers = checked_headers(headers or {})
        self._use_gzip = checked_compression(compression) == "gzip"
        self._protocol = checked_protocol(protocol)
        self._encoding: Encoding = JsonEncoding() if protocol == "http/json" else ProtobufEncoding()
        self._resource = _resource(resource or {})
        self._timeout_s = to_seconds(timeout, name="timeout")
        self._retry_for_s = to_seconds(retry_for, name="retry_for")
        self._first_wait_s = to_seconds(first_wait, name="first_wait")
        self._clock = clock or SystemClock()
        self._transport = transport
        checked_sizes(buffer_size=buffer_size, batch_size=batch_size)
        limits = Limits(
            buffer_size=buffer_size,
            batch_size=min(batch_size, buffer_size),
            interval_s=max(to_seconds(interval, name="interval"), _LEAST_INTERVAL_S),
            drain_s=to_seconds(drain_timeout, name="drain_timeout"),
        )
        self._batches = Batches(self._open_sender, limits, shown=str(self._target))
        _reset_after_fork(self._batches)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], *, resource: Mapping[str, object] | None = None) -> Self | None:
        """Return the exporter that OpenTelemetry's variables ask for; `None` if they ask for none.

        Read are, with `_TRACES` after `OTLP` or without, `OTEL_EXPORTER_OTLP_ENDPOINT` (to which `/v1/traces` is added;
        the one for traces is taken as it is), `_HEADERS`, `_TIMEOUT` (milliseconds), `_COMPRESSION` and `_PROTOCOL`;
        and `OTEL_TRACES_EXPORTER` (`otlp`, `none`), `OTEL_SDK_DISABLED`, `OTEL_SERVICE_NAME`,
        `OTEL_RESOURCE_ATTRIBUTES`.

        Args:
            resource: What is said of the service unless the environment says otherwise.

        Raises:
            OtlpSettingError: One of them cannot be used; for `grpc` the hint says what to set instead.
            MissingExtraError: As above.
        """
        found = settings_from(environ)
        if found is None:
            return None
        return cls(**found, resource={**(resource or {}), **resource_from(environ)})

    @property
    def counts(self) -> ExportCounts:
        """What became of the spans until now."""
        return self._batches.counts

    def on_end(self, span: FinishedSpan) -> None:
        """Take `span`, or drop and count it when the buffer is full or the exporter closed. Any thread."""
        self._batches.add(span)

    async def flush(self) -> None:
        """Return once what was taken before is delivered or given up, or `drain_timeout` is over."""
        import anyio.to_thread

        await anyio.to_thread.run_sync(self._batches.flush, abandon_on_cancel=True)

    async def aclose(self) -> None:
        """As `close`, without blocking the event loop."""
        import anyio.to_thread

        await anyio.to_thread.run_sync(self._batches.close, abandon_on_cancel=True)

    def close(self) -> None:
        """Deliver what is left within `drain_timeout`, drop and count the rest, end the thread. Blocks.

        For programs without an event loop. A second call does nothing.
        """
        self._batches.close()

    def __repr__(self) -> str:
        return f"OtlpExporter({str(self._target)!r}, protocol={self._protocol!r})"

    @asynccontextmanager
    async def _open_sender(self, time_left: Callable[[], float]) -> AsyncIterator[Send]:
        # No timeout of the client's: an own one, for the whole, is around each request.
        # Answers are of a few bytes, and read as they come.
        fixed = {"user-agent": f"undercroft/{version('undercroft')}", "accept-encoding": "identity"}
        async with self._http.AsyncClient(
            timeout=None, follow_redirects=False, transport=self._transport, headers=fixed
        ) as client:
            post = Post(
                client,
                self._target,
                self._encoding,
                headers=self._headers,
                use_gzip=self._use_gzip,
                timeout_s=self._timeout_s,
                retry_for_s=self._retry_for_s,
                first_wait_s=self._first_wait_s,
                clock=self._clock,
                time_left=time_left,
            )
            yield partial(post.send, resource=self._resource)


def _resource(given: Mapping[str, object]) -> dict[str, AttributeValue]:
    resource: dict[str, AttributeValue] = {}
    own = {
        names.SERVICE_NAME: "unknown_service:python",  # what the specification has for it
        names.TELEMETRY_SDK_NAME: "undercroft",
        names.TELEMETRY_SDK_LANGUAGE: "python",
        names.TELEMETRY_SDK_VERSION: version("undercroft"),
    }
    put_all(resource, {**own, **given})
    return resource


def _reset_after_fork(batches: Batches) -> None:
    # What is registered stays for the life of the process; the buffer must not.
    this = weakref.ref(batches)

    def reset() -> None:
        if (here := this()) is not None:
            here.reset()

    os.register_at_fork(after_in_child=reset)
