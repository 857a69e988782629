"""What one piece of work is called everywhere: request id, trace, job id.

`Correlation` is immutable and travels in one `ContextVar`; the middleware, the worker and every span set it, log lines
carry it, jobs and emails store it (as the headers of `_core.carrier`). Trace ids follow W3C Trace Context (https://www.w3.org/TR/trace-context/).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One position in a trace."""

    trace_id: str
    """32 lower-case hex digits, not all zero."""
    span_id: str
    """16 lower-case hex digits, not all zero."""
    is_sampled: bool = True
    state: str = ""
    """The `tracestate` header's value, which other vendors' tracers keep their own position in; passed on as it is."""

    @classmethod
    def new(cls) -> Trace:
        """Start a trace."""
        return cls(trace_id=new_trace_id(), span_id=new_span_id())

    @classmethod
    def parse(cls, traceparent: str, state: str = "") -> Trace | None:
        """Read a `traceparent` header; `None` when it is not valid, in which case a new trace must be started.

        Args:
            state: The `tracestate` that came with it, checked already: see `_core.carrier`.
        """
        match = _TRACEPARENT.fullmatch(traceparent.strip())
        if match is None:
            return None
        version, trace_id, span_id, flags, rest = match.groups()
        is_future = version != "00"
        if version == "ff" or (rest and not is_future) or not trace_id.strip("0") or not span_id.strip("0"):
            return None
        return cls(trace_id=trace_id, span_id=span_id, is_sampled=bool(int(flags, 16) & 1), state=state)

    def child(self) -> Trace:
        """Return a new span of the same trace."""
        return Trace(trace_id=self.trace_id, span_id=new_span_id(), is_sampled=self.is_sampled, state=self.state)

    def __str__(self) -> str:
        """The `traceparent` header's value."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.is_sampled else '00'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """The names of the work going on. Fields that do not apply are `None`."""

    request_id: str | None = None
    trace: Trace | None = None
    job_id: str | None = None
    baggage: str = ""
    """The `baggage` header's value (https://www.w3.org/TR/baggage/): what the application sends along with a trace."""

    def fields(self) -> dict[str, str]:
        """Return the names that apply, as log fields."""
        named = {
            "request_id": self.request_id,
            "trace_id": self.trace.trace_id if self.trace else None,
            "span_id": self.trace.span_id if self.trace else None,
            "job_id": self.job_id,
        }
        return {key: value for key, value in named.items() if value is not None}


class LateNames:
    """Names that are made when they are first asked for, which a short piece of work never does."""

    __slots__ = ()

    def names(self) -> Correlation:
        """Return them, the same ones each time."""
        raise NotImplementedError


class LateCorrelation(LateNames):
    """Names that a function makes."""

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], Correlation]) -> None:
        self._make = make
        self._made: Correlation | None = None

    def names(self) -> Correlation:
        if self._made is None:
            self._made = self._make()
        return self._made

    __call__ = names


_NONE = Correlation()
NAMES_HERE: ContextVar[Correlation | LateNames] = ContextVar("undercroft_correlation", default=_NONE)
"""Read it with `correlation()` and set it with `correlate()`; a span that is entered sets itself."""


def correlation() -> Correlation:
    """Return the names of the work going on here; empty outside of any."""
    names = NAMES_HERE.get()
    return names.names() if isinstance(names, LateNames) else names


@contextmanager
def correlate(names: Correlation | LateNames) -> Iterator[None]:
    """Set the names for the block, in this context and in tasks and threads started from it."""
    token = NAMES_HERE.set(names)
    try:
        yield
    finally:
        NAMES_HERE.reset(token)


def is_request_id(text: str) -> bool:
    """Tell whether a client's `x-request-id` may be taken over: 1 to 128 plain characters, safe in logs and headers."""
    return _REQUEST_ID.fullmatch(text) is not None


def new_trace_id() -> str:
    """Return 32 lower-case hex digits, not all zero."""
    # Unique, not secret: the fast generator does, and it seeds itself anew after a fork.
    return f"{random.getrandbits(128) or 1:032x}"


def new_span_id() -> str:
    """Return 16 lower-case hex digits, not all zero."""
    return f"{random.getrandbits(64) or 1:016x}"
