"""The process's tracer: who takes finished spans now, which traces are recorded, and the spans that are not ended.

One for the process, as the standard library's root logger is: `setup_tracing` changes it, and undoes that.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from undercroft._core.clock import Clock
from undercroft._core.context import Correlation, LateNames
from undercroft.monitoring._tracing._protocol import AttributeValue, FinishedSpan, SpanKind, SpanProcessor
from undercroft.monitoring._tracing._sampling import ParentBased, Position, Sampler

if TYPE_CHECKING:
    from undercroft.monitoring._tracing._span import Span

Redact = Callable[[str, object], object]
"""`redact(name, value)` returns what may be kept of an attribute, in the same or another type. Always the same for the
same: a short text or a number that is let through unchanged is not asked for again."""

_MAX_LIVE = 4_096
# Methods, routes and hosts come again and again. Only what was let through unchanged is remembered: never a secret.
_MAX_HARMLESS, _MAX_HARMLESS_TEXT = 2_048, 256


Ambient = Literal["yes", "no", "same trace"]
"""`same trace`: only if it is of `parent`'s trace, or there is no `parent`."""


class Bridge(Protocol):
    """Another tracer that makes the ids and keeps the context: see `undercroft.monitoring.opentelemetry`."""

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
        """Return a started span, with the ids and the decision of the other tracer.

        Args:
            parent: What is current in our context, or what was asked for.
            here: The names that are current.
            ambient: Whether a span that the other tracer made current later comes before `parent`.
        """

    def position(self, here: Position | None) -> Position | None:
        """Return the span that is current: the other tracer's, if it was made current later than `here`."""


class TracingCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong without anyone being told, since the process began."""

    late_changes: int = 0
    """Changes of spans that had ended, which they refuse."""
    processor_failures: int = 0
    """Finished spans that a processor raised for, against its protocol."""
    redaction_failures: int = 0
    """Values that the redaction raised for; they were left out."""
    forgotten: int = 0
    """Spans that nobody ended, beyond the 4,096 that are kept for `end_span`."""


@dataclass(frozen=True, slots=True)
class Ticks:
    """The two clocks of a span, in nanoseconds."""

    now_ns: Callable[[], int] = time.time_ns
    tick_ns: Callable[[], int] = time.monotonic_ns

    @classmethod
    def of(cls, clock: Clock | None) -> Ticks:
        if clock is None:
            return cls()
        return cls(lambda: round(clock.time() * 1e9), lambda: round(clock.monotonic() * 1e9))


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What one `setup_tracing` asked for."""

    processors: Sequence[SpanProcessor] = ()
    sampler: Sampler = field(default_factory=ParentBased)
    redact: Redact | None = None
    ticks: Ticks = field(default_factory=Ticks)
    bridge: Bridge | None = None


class LiveSpans:
    """Spans that are started and not ended, by id: the newest 4,096 are kept alive, so that an id is enough to end one.

    Older ones are kept as long as somebody else does. Adding and removing happen in any thread.
    """

    def __init__(self) -> None:
        self.newest: dict[str, Span] = {}
        self._older: weakref.WeakValueDictionary[str, Span] = weakref.WeakValueDictionary()
        self._lock = threading.Lock()

    def get(self, span_id: str) -> Span | None:
        return self.newest.get(span_id) or self._older.get(span_id)

    def remove(self, span_id: str) -> None:
        if self.newest.pop(span_id, None) is None:
            self._older.pop(span_id, None)

    def make_room(self) -> int:
        """Let go of the oldest beyond the cap; return how many."""
        released = 0
        with self._lock:
            while len(self.newest) > _MAX_LIVE:
                try:
                    span_id = next(iter(self.newest))
                    self._older[span_id] = self.newest.pop(span_id)
                except (KeyError, RuntimeError):  # another thread ended it, or started one, in between
                    continue
                released += 1
        return released

    def clear(self) -> None:
        self.newest.clear()
        self._older.clear()


class Tracer:
    """State that every span reads. Attributes, not methods, where each span would pay for a call."""

    def __init__(self) -> None:
        self.live = LiveSpans()
        self.lock = threading.Lock()
        self.late_changes = self.failures = self.redaction_failures = self.forgotten = 0
        self._setups: list[InForce] = []
        self._apply(InForce())

    def install(self, setup: InForce) -> None:
        """Put `setup` in force until it is released, or until the next one."""
        with self.lock:
            self._setups.append(setup)
            self._apply(setup)

    def release(self, setup: InForce) -> None:
        """Put in force what is the newest without `setup`. Releasing twice does nothing."""
        with self.lock:
            self._setups = [other for other in self._setups if other is not setup]
            self._apply(self._setups[-1] if self._setups else InForce())

    def add(self, span: Span) -> None:
        """Keep `span` until it is ended."""
        newest = self.live.newest
        newest[span.span_id] = span
        if len(newest) > _MAX_LIVE:
            self.forgotten += self.live.make_room()

    def deliver(self, span: FinishedSpan) -> None:
        """Give `span` to every processor."""
        for processor in self.processors:
            try:
                processor.on_end(span)
            except Exception:  # a broken processor must not break what is only measured
                self.failures += 1

    def redacted(self, name: str, value: AttributeValue) -> object:
        """Return what may be kept of `value`. Fails closed: nothing of it when the redaction raises."""
        harmless, redact = self._harmless, self.redact
        assert redact is not None
        kind = type(value)
        may_repeat = kind is int or (kind is str and len(value) <= _MAX_HARMLESS_TEXT)  # type: ignore[arg-type]
        if may_repeat and (name, value) in harmless:
            return value
        try:
            left = redact(name, value)
        except Exception:  # the redaction is the application's, and may have any bug
            self.redaction_failures += 1
            return "[redaction failed]"
        if may_repeat and left == value:
            if len(harmless) >= _MAX_HARMLESS:
                harmless.clear()
            harmless.add((name, value))
        return left

    def counts(self) -> TracingCounts:
        return TracingCounts(
            late_changes=self.late_changes,
            processor_failures=self.failures,
            redaction_failures=self.redaction_failures,
            forgotten=self.forgotten,
        )

    def _apply(self, setup: InForce) -> None:
        self.processors = tuple(setup.processors)
        self.sampler = setup.sampler
        self.redact = setup.redact
        self._harmless: set[tuple[str, object]] = set()  # after it: whoever sees the new set must see the new redaction
        self.bridge = setup.bridge
        self.now_ns, self.tick_ns = setup.ticks.now_ns, setup.ticks.tick_ns
        self.is_recording = bool(self.processors) or self.bridge is not None


TRACER = Tracer()
