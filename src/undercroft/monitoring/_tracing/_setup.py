"""Say who takes the process's finished spans, and undo it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from undercroft._core.clock import Clock
from undercroft.monitoring._tracing._protocol import SpanProcessor
from undercroft.monitoring._tracing._sampling import ParentBased, Sampler
from undercroft.monitoring._tracing._tracer import TRACER, Bridge, InForce, Redact, Ticks, TracingCounts

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider


class TracingSetup:
    """One call of `setup_tracing`, in force until it is closed, or until the next call. Whoever called it closes it.

    Setups that replaced each other may be closed in any order: the newest that is not closed is in force.
    """

    def __init__(self, in_force: InForce) -> None:
        self._in_force = in_force
        self._is_closed = False

    @property
    def processors(self) -> tuple[SpanProcessor, ...]:
        """Who takes the spans that end while it is in force."""
        return tuple(self._in_force.processors)

    @property
    def uses_opentelemetry(self) -> bool:
        """Whether spans are made with OpenTelemetry's tracer provider."""
        return self._in_force.bridge is not None

    async def flush(self) -> None:
        """Return once every processor has delivered what it took, or has given up.

        Raises:
            ExceptionGroup: Of what processors raised; every one was asked.
        """
        await _each(self.processors, "flush")

    def release(self) -> None:
        """Restore what was in force before; the processors stay open. Releasing twice does nothing."""
        TRACER.release(self._in_force)

    async def aclose(self) -> None:
        """Restore what was in force before, and close the processors. Closing twice does nothing.

        Raises:
            ExceptionGroup: Of what processors raised; every one was closed.
        """
        self.release()
        if not self._is_closed:
            self._is_closed = True
            await _each(reversed(self.processors), "aclose")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        """For code without an event loop: leaving releases it, and closes no processor."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def setup_tracing(
    *,
    processors: Sequence[SpanProcessor] = (),
    sampler: Sampler | None = None,
    redact: Redact | None = None,
    clock: Clock | None = None,
    opentelemetry: Literal["auto"] | bool | TracerProvider = False,
) -> TracingSetup:
    """Give every span of this process that ends from now on to `processors`. Call it once, at the start.

    Calling it again replaces what is in force until that is closed. Nothing is read from the environment: see
    `sampler_from`, and `OtlpExporter.from_environ`.

    Args:
        processors: Who takes finished spans; closed with the setup.
        sampler: Which traces are recorded; everything whose parent is, and every new trace, when `None`.
        redact: `redact(name, value)` returns what may be kept of an attribute's value (of each item, if it is a list),
            or of a text that has one of the names `span.name`, `status.message`, `event.name`. Called when a span ends,
            in the thread that ended it, but not again for a short text or an integer that it let through
            unchanged. What it raises for is left out.
        clock: The host's, in nanoseconds, when `None`.
        opentelemetry: Make spans with OpenTelemetry's tracer provider, so that either side's spans are parents of the
            other's, and its exporters have them too: `"auto"` where the application has set one, `True` to require
            that, or the provider itself. Its own sampler decides then, instead of `sampler`.

    Raises:
        OpenTelemetryError: It is `True`, and no provider of OpenTelemetry's SDK is set.
        MissingExtraError: It is `True`, and OpenTelemetry is not installed.
    """
    in_force = InForce(
        processors=tuple(processors),
        sampler=ParentBased() if sampler is None else sampler,
        redact=redact,
        ticks=Ticks.of(clock),
        bridge=_bridge(opentelemetry),
    )
    TRACER.install(in_force)
    return TracingSetup(in_force)


def tracing_counts() -> TracingCounts:
    """Return what went wrong without anyone being told, since the process began."""
    return TRACER.counts()


def is_recording() -> bool:
    """Tell whether anybody takes finished spans: without that, spans of a library's own need not be made."""
    return TRACER.is_recording


def _bridge(asked: Literal["auto"] | bool | TracerProvider) -> Bridge | None:
    if asked is False:
        return None
    if asked == "auto":
        import sys

        if "opentelemetry.trace" not in sys.modules:  # nobody can have set a provider
            return None
    from undercroft.monitoring.opentelemetry import bridge_to

    return bridge_to(asked)


async def _each(processors: Iterable[SpanProcessor], method: Literal["flush", "aclose"]) -> None:
    errors: list[Exception] = []
    for processor in processors:
        try:
            await getattr(processor, method)()
        except Exception as exc:  # the others are closed all the same; raised together below
            errors.append(exc)
    if errors:
        raise ExceptionGroup(f"{method} of span processors failed", errors)
