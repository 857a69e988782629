"""One span: what is known of a piece of work while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from undercroft._core.clock import utc
from undercroft._core.context import NAMES_HERE, Correlation, LateNames, Trace
from undercroft._core.errors import near_names
from undercroft.monitoring._tracing import _names as names
from undercroft.monitoring._tracing._errors import SpanUsageError, SpanValueError
from undercroft.monitoring._tracing._exceptions import exception_attributes, type_name
from undercroft.monitoring._tracing._finish import finished
from undercroft.monitoring._tracing._protocol import AttributeValue, SpanEvent, SpanKind, SpanLink, SpanStatus
from undercroft.monitoring._tracing._tracer import TRACER
from undercroft.monitoring._tracing._values import MAX_EVENTS, MAX_LINKS, clean_text, put_all

P = ParamSpec("P")
R = TypeVar("R")

_KINDS = {"internal", "server", "client", "producer", "consumer"}
_STATUSES = ("unset", "ok", "error")


class Span(LateNames):
    """A piece of work, from its start to its end. Made by `start_span`; lives until it is ended, once.

    Entering it (`with`, `async with`) makes it the parent of what is started inside, and puts its ids on log lines;
    leaving ends it. An exception that leaves the block is recorded, makes the status `error`, and goes on. A cancelled
    or interrupted block (`CancelledError`, `KeyboardInterrupt`, …: what is no `Exception`) is no error. As a decorator
    it measures each call. What has ended refuses changes without raising; `tracing_counts().late_changes` counts them.

    Methods may be called in any thread, and none raises for a value that it cannot keep as it is: see `set_attribute`.
    """

    __slots__ = (  # noqa: RUF023 - laid out to be read
        "trace_id", "span_id", "parent_span_id", "is_parent_remote", "is_sampled", "state",
        "name", "kind", "start_time_ns", "end_time_ns", "status", "status_message",
        "attributes", "events", "links", "dropped_attributes", "dropped_events", "dropped_links",
        "asked_parent", "base", "previous", "stage", "_made", "_created_ns", "_tick_ns", "_ticked", "__weakref__",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        kind: SpanKind,
        trace_id: str,
        span_id: str,
        parent_span_id: str | None,
        *,
        is_parent_remote: bool,
        is_sampled: bool,
        state: str,
        base: Correlation | LateNames,
        attributes: Mapping[str, object] | None = None,
        start_ns: int | None = None,
    ) -> None:
        """Take what `start_span` has found out; the name and kind are checked already."""
        self.name = name
        """What the work is, in few words that are the same each time: `charge card`, not `charge card 42`."""
        self.kind: SpanKind = kind
        self.trace_id = trace_id
        """32 lower-case hex digits; the parent's, if there is one."""
        self.span_id = span_id
        """16 lower-case hex digits."""
        self.parent_span_id = parent_span_id
        self.is_parent_remote = is_parent_remote
        self.is_sampled = is_sampled
        """Whether it is given to the processors when it ends."""
        self.state = state
        """The `tracestate` that the trace came with."""
        self.attributes: dict[str, AttributeValue] = {}
        self.dropped_attributes = self.dropped_events = self.dropped_links = 0
        self.events: list[SpanEvent] = []
        self.links: list[SpanLink] = []
        self.status: SpanStatus = "unset"
        self.status_message = ""
        self.end_time_ns: int | None = None
        """Nanoseconds since the Unix epoch; `None` while it goes on."""
        self.asked_parent: Any = None
        self.base = base
        self._made: Correlation | None = None
        self.previous: Correlation | LateNames | None = None
        self.stage = _NEW
        self._tick_ns = TRACER.tick_ns
        self._ticked = self._tick_ns()
        self._created_ns = TRACER.now_ns()
        self.start_time_ns = self._created_ns if start_ns is None else start_ns
        """Nanoseconds since the Unix epoch."""
        if attributes:
            self.dropped_attributes = put_all(self.attributes, attributes)

    @property
    def start_time(self) -> datetime:
        """When it was started, in UTC, to the microsecond."""
        return utc(self.start_time_ns / 1e9)

    @property
    def end_time(self) -> datetime | None:
        """When it was ended; `None` while it goes on."""
        return None if self.end_time_ns is None else utc(self.end_time_ns / 1e9)

    @property
    def duration(self) -> float | None:
        """Seconds from start to end, measured by the monotonic clock; `None` while it goes on."""
        return None if self.end_time_ns is None else (self.end_time_ns - self.start_time_ns) / 1e9

    @property
    def is_recording(self) -> bool:
        """Whether changes still matter to somebody: it has not ended, is sampled, and there is a processor."""
        return self.end_time_ns is None and self.is_sampled and TRACER.is_recording

    def set_attribute(self, name: str, value: object) -> Self:
        """Set one attribute: a text, a bool, a number, or a list of one of these; anything else is kept as its text.

        Texts are cut at 4,096 characters; the 129th attribute is dropped, and counted in `dropped_attributes`. `None`
        sets nothing.
        """
        return self.set_attributes({name: value})

    def set_attributes(self, attributes: Mapping[str, object]) -> Self:
        """Set several attributes; those of other names stay."""
        if self._is_open():
            self.dropped_attributes += put_all(self.attributes, attributes)
        return self

    def add_event(
        self, name: str, attributes: Mapping[str, object] | None = None, *, time: datetime | None = None
    ) -> Self:
        """Note something that happens now, or at `time`. The 129th event is dropped and counted."""
        if self._is_open():
            if len(self.events) == MAX_EVENTS:
                self.dropped_events += 1
            else:
                kept: dict[str, AttributeValue] = {}
                put_all(kept, attributes or {})
                at = self._now_ns() if time is None else epoch_ns(time)
                self.events.append(SpanEvent(name=clean_text(name), time_ns=at, attributes=kept))
        return self

    def add_link(self, other: Span | Trace | SpanLink, attributes: Mapping[str, object] | None = None) -> Self:
        """Point at another span that this one has to do with, in this trace or in another. The 129th is dropped."""
        if self._is_open():
            if len(self.links) == MAX_LINKS:
                self.dropped_links += 1
            else:
                self.links.append(link_to(other, attributes))
        return self

    def record_exception(self, exc: BaseException, attributes: Mapping[str, object] | None = None) -> Self:
        """Note `exc` as an event with its type, message and traceback. The status stays: see `set_status`."""
        return self.add_event("exception", {**exception_attributes(exc), **(attributes or {})})

    def set_status(self, status: SpanStatus, message: str = "") -> Self:
        """Say how it went. `ok` is final, as OpenTelemetry has it; `unset` changes nothing; only `error` has a message.

        Raises:
            SpanValueError: There is no such status.
        """
        if status not in _STATUSES:
            near = near_names(str(status), _STATUSES)
            raise SpanValueError(
                f"{status!r} is not a span's status", near=near, hint=f"statuses: {', '.join(_STATUSES)}"
            )
        if self._is_open() and status != "unset" and self.status != "ok":
            self.status = status
            self.status_message = clean_text(message) if status == "error" else ""
        return self

    def update_name(self, name: str) -> Self:
        """Name it better, once more is known: a request's route."""
        if self._is_open():
            self.name = clean_text(name)
        return self

    def end(self, end_time: datetime | None = None) -> None:
        """End it now, or at `end_time`, and give it to the processors if it is sampled. Never before its start.

        The duration is measured by the monotonic clock, so that a step of the host's clock does not show in it.
        """
        if not self._is_open():
            return
        at = self._now_ns() if end_time is None else epoch_ns(end_time)
        self.end_time_ns = at if at > self.start_time_ns else self.start_time_ns
        TRACER.live.remove(self.span_id)
        self._deliver()

    def names(self) -> Correlation:
        """Return what log lines and carriers inside say: its ids, and the request id, job id and baggage there."""
        if self._made is None:
            base = self.base_names()
            trace = Trace(trace_id=self.trace_id, span_id=self.span_id, is_sampled=self.is_sampled, state=self.state)
            self._made = Correlation(request_id=base.request_id, trace=trace, job_id=base.job_id, baggage=base.baggage)
        return self._made

    def base_names(self) -> Correlation:
        """Return the names of the work that it was started, or last entered, in."""
        base = self.base
        return base.names() if isinstance(base, LateNames) else base

    def __enter__(self) -> Self:
        """Make it the parent of what is started inside, and its ids those of log lines there.

        Raises:
            SpanUsageError: It was entered or has ended before.
        """
        self._require_unused()
        self.stage = _ENTERED
        previous = self.previous = NAMES_HERE.get()
        self.base = previous.base if isinstance(previous, Span) else previous
        self._made = None
        NAMES_HERE.set(self)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave()
        if exc is not None and isinstance(exc, Exception):
            self._fail(exc)
        if self.end_time_ns is None:
            self.end()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(exc_type, exc, traceback)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate `function`, sync or async: a new span for each call. This one only says what those are like.

        Raises:
            SpanUsageError: It is a generator function, or this span was used already.
        """
        from undercroft.monitoring._tracing._decorator import measured
        from undercroft.monitoring._tracing._start import again

        self._require_unused()
        return measured(again(self), function)

    def forget(self) -> None:
        """End it without anybody taking it."""
        self.is_sampled = False
        self.end()

    def __repr__(self) -> str:
        state = "ended" if self.end_time_ns is not None else "not ended"
        return f"<Span {self.name!r} {self.trace_id}-{self.span_id} {state}>"

    def _require_unused(self) -> None:
        if self.stage != _NEW or self.end_time_ns is not None:
            raise SpanUsageError(
                f"the span {self.name!r} was entered or ended before",
                hint="a span is one piece of work: start another, or decorate a function with @start_span(...)",
            )

    def _leave(self) -> None:
        # No token: one is refused in any other context than its own, and blocks may be left in another (an async
        # generator that the loop closes), or out of order.
        if NAMES_HERE.get() is not self:
            self.stage = _LEFT_EARLY
            return
        previous, self.previous = self.previous, None  # or tasks that start each other would keep all their spans
        self.stage = _LEFT
        while isinstance(previous, Span) and previous.stage == _LEFT_EARLY:
            previous = previous.previous
        assert previous is not None
        NAMES_HERE.set(previous)

    def _fail(self, exc: Exception) -> None:
        if self.end_time_ns is None:
            self.record_exception(exc)
            self.set_status("error", clean_text(exc))
            self.attributes.setdefault(names.ERROR_TYPE, clean_text(type_name(exc)))

    def _deliver(self) -> None:
        if self.is_sampled and TRACER.is_recording:
            TRACER.deliver(finished(self))

    def _is_open(self) -> bool:
        if self.end_time_ns is None:
            return True
        TRACER.late_changes += 1
        return False

    def _now_ns(self) -> int:
        return self._created_ns + self._tick_ns() - self._ticked


_NEW, _ENTERED, _LEFT, _LEFT_EARLY = range(4)


def checked_kind(kind: str) -> None:
    """Return if `kind` is one of ours.

    Raises:
        SpanValueError: It is not.
    """
    if kind not in _KINDS:
        raise SpanValueError(
            f"{kind!r} is not a span's kind",
            near=near_names(str(kind), _KINDS),
            hint=f"kinds: {', '.join(sorted(_KINDS))}",
        )


def link_to(other: Span | Trace | SpanLink, attributes: Mapping[str, object] | None = None) -> SpanLink:
    """Return the link to a span, to a position that a carrier brought, or `other` itself with more attributes."""
    kept: dict[str, AttributeValue] = {}
    if isinstance(other, SpanLink):
        put_all(kept, {**other.attributes, **(attributes or {})})
        return SpanLink(trace_id=other.trace_id, span_id=other.span_id, trace_state=other.trace_state, attributes=kept)
    put_all(kept, attributes or {})
    return SpanLink(trace_id=other.trace_id, span_id=other.span_id, trace_state=other.state, attributes=kept)


def epoch_ns(time: datetime) -> int:
    """Return nanoseconds since the Unix epoch; exact, as a float would not be.

    Raises:
        SpanValueError: `time` has no time zone.
    """
    if time.tzinfo is None:
        raise SpanValueError(f"{time.isoformat()} has no time zone", hint="give an aware datetime: datetime.now(UTC)")
    delta = time - _EPOCH
    return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1_000


_EPOCH = utc(0)
