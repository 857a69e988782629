"""Which traces are recorded: decided once for a trace, at its start, and followed by everyone below.

The names are those of `OTEL_TRACES_SAMPLER`
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from undercroft._core.context import Trace
from undercroft._core.errors import near_names
from undercroft.monitoring._tracing._errors import SamplerError


class Position(Protocol):
    """Where a parent stands: a `Span` of this process, or a `Trace` that a carrier brought."""

    @property
    def trace_id(self) -> str: ...
    @property
    def span_id(self) -> str: ...
    @property
    def is_sampled(self) -> bool: ...
    @property
    def state(self) -> str: ...


class Sampler(Protocol):
    """Decides whether a span is recorded. Called at each start, in any thread; must not block."""

    def is_sampled(self, trace_id: str, parent: Position | None) -> bool:
        """Tell whether a span of this trace is recorded.

        Args:
            trace_id: 32 lower-case hex digits.
            parent: What the span will be a child of; `None` for the first of a trace.
        """


@dataclass(frozen=True, slots=True)
class AlwaysOn:
    """Record everything, whatever a caller's `traceparent` says."""

    def is_sampled(self, trace_id: str, parent: Position | None) -> bool:  # noqa: ARG002
        return True

    def __str__(self) -> str:
        return "always_on"


@dataclass(frozen=True, slots=True)
class AlwaysOff:
    """Record nothing. Ids are made and passed on all the same."""

    def is_sampled(self, trace_id: str, parent: Position | None) -> bool:  # noqa: ARG002
        return False

    def __str__(self) -> str:
        return "always_off"


@dataclass(frozen=True, slots=True)
class TraceIdRatio:
    """Record a share of all traces, chosen by their id: who uses the same share chooses the same traces.

    The lower 64 bits of the id are compared with `ratio * 2**64`, as OpenTelemetry's SDKs do.
    """

    ratio: float
    _bound: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the share.

        Raises:
            SamplerError: It is not from 0 to 1.
        """
        if not 0.0 <= self.ratio <= 1.0:
            raise SamplerError(f"a sampler's share is {self.ratio!r}", hint="give a number from 0 to 1, such as 0.1")
        object.__setattr__(self, "_bound", round(self.ratio * 2**64))

    def is_sampled(self, trace_id: str, parent: Position | None) -> bool:  # noqa: ARG002
        return int(trace_id[16:], 16) < self._bound

    def __str__(self) -> str:
        return f"traceidratio {self.ratio:g}"


@dataclass(frozen=True, slots=True)
class ParentBased:
    """Follow the parent's decision; ask `root` only for the first span of a trace."""

    root: Sampler = field(default_factory=AlwaysOn)

    def is_sampled(self, trace_id: str, parent: Position | None) -> bool:
        return self.root.is_sampled(trace_id, None) if parent is None else parent.is_sampled

    def __str__(self) -> str:
        return f"parentbased_{self.root}"


_PLAIN: dict[str, Sampler] = {
    "always_on": AlwaysOn(),
    "always_off": AlwaysOff(),
    "parentbased_always_on": ParentBased(AlwaysOn()),
    "parentbased_always_off": ParentBased(AlwaysOff()),
}
_RATIOS = ("traceidratio", "parentbased_traceidratio")
_NAMES = (*_PLAIN, *_RATIOS)


def sampler_from(name: str, arg: str | None = None, *, what: str = "OTEL_TRACES_SAMPLER") -> Sampler:
    """Return the sampler that `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` name.

    Args:
        arg: The share of traces, from 0 to 1; everything when it is missing or empty. Read by the ratio samplers only.
        what: The setting that the name came from; named in the error.

    Raises:
        SamplerError: There is no such sampler here (the hint lists them), or `arg` is no share.
    """
    chosen = name.strip().lower()
    if chosen in _PLAIN:
        return _PLAIN[chosen]
    if chosen not in _RATIOS:
        near = near_names(chosen, _NAMES)
        raise SamplerError(f"{what} {name!r} is not a sampler", near=near, hint=f"samplers: {', '.join(_NAMES)}")
    ratio = TraceIdRatio(_share(arg, f"{what}_ARG"))
    return ParentBased(ratio) if chosen.startswith("parentbased") else ratio


def _share(arg: str | None, what: str) -> float:
    if arg is None or not arg.strip():
        return 1.0
    try:
        share = float(arg)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise SamplerError(f"{what} is {arg!r}, which is no share", hint="give a number from 0 to 1, such as 0.1")
    return share


def decided(sampler: Sampler, trace: Trace, parent: Position | None) -> Trace:
    """Return `trace` with `sampler`'s decision in it."""
    is_sampled = sampler.is_sampled(trace.trace_id, parent)
    if is_sampled == trace.is_sampled:
        return trace
    return Trace(trace_id=trace.trace_id, span_id=trace.span_id, is_sampled=is_sampled, state=trace.state)
