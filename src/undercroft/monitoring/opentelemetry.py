"""Make spans with OpenTelemetry's tracer provider, so that its context and ours are one.

Inside one of our spans `opentelemetry.trace.get_current_span()` is ours, so what OpenTelemetry's instrumentations start
there are its children; a span of ours inside one of theirs is that one's child. Ids and the sampling decision come from
the provider; its processors and exporters get our spans when they end, redacted, and ours get them too.
Written for the API and SDK 1.x: https://opentelemetry-python.readthedocs.io/.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from undercroft._core.context import Correlation, LateNames, Trace
from undercroft._core.extras import require_module
from undercroft.monitoring._tracing._errors import OpenTelemetryError
from undercroft.monitoring._tracing._finish import finished, redacted_attributes
from undercroft.monitoring._tracing._protocol import AttributeValue, FinishedSpan, SpanKind
from undercroft.monitoring._tracing._sampling import Position
from undercroft.monitoring._tracing._span import Span
from undercroft.monitoring._tracing._start import is_remote
from undercroft.monitoring._tracing._tracer import TRACER, Ambient, Bridge
from undercroft.monitoring._tracing._values import clean_text, put_all

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

_NEEDED_FOR = "setup_tracing(opentelemetry=...)"
_OURS = "undercroft-span"
"""The key in OpenTelemetry's context under which our span says that the context was made by it."""


def bridge_to(asked: Literal["auto"] | bool | TracerProvider) -> Bridge | None:
    """Return the bridge to what `setup_tracing(opentelemetry=...)` asks for; `None` where `"auto"` finds no provider.

    Raises:
        OpenTelemetryError: It is `True`, and no provider of an SDK is set.
        MissingExtraError: OpenTelemetry is not installed.
    """
    api = require_module("opentelemetry.trace", extra="opentelemetry", needed_for=_NEEDED_FOR)
    context = require_module("opentelemetry.context", extra="opentelemetry", needed_for=_NEEDED_FOR)
    provider = api.get_tracer_provider() if asked in ("auto", True) else asked
    if isinstance(provider, api.ProxyTracerProvider | api.NoOpTracerProvider):
        if asked == "auto":
            return None
        raise OpenTelemetryError(
            "OpenTelemetry has no tracer provider",
            hint="call opentelemetry.trace.set_tracer_provider(TracerProvider(...)) before setup_tracing()",
        )
    return OpenTelemetryBridge(cast("TracerProvider", provider), api, context)


class OpenTelemetryBridge:
    """Starts our spans with `provider`. Lives as long as the setup that made it; closes nothing."""

    def __init__(self, provider: TracerProvider, api: Any, context: Any) -> None:
        self.api = api
        self.context = context
        self._tracer = provider.get_tracer("undercroft")

    def start(
        self,
        name: str,
        kind: SpanKind,
        parent: Position | None,
        here: Correlation | LateNames,
        attributes: Mapping[str, object] | None,
        *,
        ambient: Ambient,
        start_ns: int | None = None,
    ) -> Span:
        theirs = None if ambient == "no" else self._newer(parent)
        if theirs is not None and ambient == "same trace" and parent is not None:
            theirs = theirs if _seen(theirs).trace_id == parent.trace_id else None
        kept: dict[str, AttributeValue] = {}
        put_all(kept, attributes or {})
        name = clean_text(name)
        start_ns = TRACER.now_ns() if start_ns is None else start_ns  # one start, on both sides
        made = self._tracer.start_span(
            name,
            context=self._context_below(parent, theirs),
            kind=self.api.SpanKind[kind.upper()],
            attributes=redacted_attributes(kept),
            start_time=start_ns,
        )
        below = parent if theirs is None else _seen(theirs)
        span = OpenTelemetrySpan(self, made, name, kind, below, here, kept, start_ns)
        TRACER.add(span)
        return span

    def position(self, here: Position | None) -> Position | None:
        theirs = self._newer(here)
        return None if theirs is None else _seen(theirs)

    def _newer(self, here: Position | None) -> Any:
        """Return OpenTelemetry's current span if it was made current after `here` was; else `None`."""
        now = self.context.get_current()
        current = self.api.get_current_span(now)
        if not current.get_span_context().is_valid:
            return None
        ours = self.context.get_value(_OURS, now)
        if ours is None:
            return current  # made current outside of all our spans
        # Its context was made inside of our span `ours`: newer, unless something else of ours became current since.
        is_same = here is not None and here.span_id == ours.span_id
        return current if is_same and current is not ours.made else None

    def _context_below(self, parent: Position | None, theirs: Any) -> Any:
        now = self.context.get_current()
        if theirs is not None:
            return now
        if parent is None:
            return self.api.set_span_in_context(self.api.INVALID_SPAN, now)
        if isinstance(parent, OpenTelemetrySpan):
            return self.api.set_span_in_context(parent.made, now)
        flags = self.api.TraceFlags(1 if parent.is_sampled else 0)
        position = self.api.SpanContext(
            trace_id=int(parent.trace_id, 16),
            span_id=int(parent.span_id, 16),
            is_remote=is_remote(parent),
            trace_flags=flags,
            trace_state=self.api.TraceState.from_header([parent.state] if parent.state else []),
        )
        return self.api.set_span_in_context(self.api.NonRecordingSpan(position), now)


class OpenTelemetrySpan(Span):
    """A span of ours that is a span of OpenTelemetry's too. Made by `start_span`, like any other."""

    __slots__ = ("_before", "_bridge", "made")

    def __init__(
        self,
        bridge: OpenTelemetryBridge,
        made: Any,
        name: str,
        kind: SpanKind,
        parent: Position | None,
        here: Correlation | LateNames,
        attributes: dict[str, AttributeValue],
        start_ns: int,
    ) -> None:
        position = _seen(made)
        super().__init__(
            name,
            kind,
            position.trace_id,
            position.span_id,
            None if parent is None else parent.span_id,
            is_parent_remote=is_remote(parent),
            is_sampled=position.is_sampled,
            state=position.state,
            base=here.base if isinstance(here, Span) else here,
            attributes=attributes,
            start_ns=start_ns,
        )
        self._bridge = bridge
        self._before: Any = None
        self.made = made

    def __enter__(self) -> Self:
        super().__enter__()
        context = self._bridge.context
        self._before = context.get_current()
        context.attach(context.set_value(_OURS, self, self._bridge.api.set_span_in_context(self.made, self._before)))
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # As in Span: no token, which would be refused (and logged as an error) in another context.
        if self._bridge.api.get_current_span() is self.made:
            self._bridge.context.attach(self._before)
        self._before = None
        super().__exit__(exc_type, exc, traceback)

    def forget(self) -> None:
        # OpenTelemetry has no way to forget a span: one that is never ended is exported by nobody.
        self.made = None
        super().forget()

    def _deliver(self) -> None:
        if self.made is None:
            return
        span = finished(self)
        _forward(span, self.made, self._bridge.api)
        if self.is_sampled:
            TRACER.deliver(span)


def _seen(span: Any) -> Trace:
    """Return the position of a span of OpenTelemetry."""
    position = span.get_span_context()
    return Trace(
        trace_id=f"{position.trace_id:032x}",
        span_id=f"{position.span_id:016x}",
        is_sampled=position.trace_flags.sampled,
        state=position.trace_state.to_header(),
    )


def _forward(span: FinishedSpan, made: Any, api: Any) -> None:
    """End `made` with everything that `span` became since it was started."""
    made.update_name(span.name)
    made.set_attributes(span.attributes)
    for event in span.events:
        made.add_event(event.name, event.attributes, timestamp=event.time_ns)
    for link in span.links:
        flags = api.TraceFlags(api.TraceFlags.SAMPLED)
        state = api.TraceState.from_header([link.trace_state] if link.trace_state else [])
        position = api.SpanContext(int(link.trace_id, 16), int(link.span_id, 16), True, flags, state)
        made.add_link(position, link.attributes)
    if span.status != "unset":
        made.set_status(api.StatusCode[span.status.upper()], span.status_message or None)
    made.end(span.end_time_ns)
