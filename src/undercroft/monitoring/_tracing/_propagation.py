"""Where the work going on stands in its trace, as the headers W3C names: written and read.

For HTTP clients, message brokers, and any carrier of texts. undercroft's own parts do it by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar, overload

from undercroft._core.carrier import (
    BAGGAGE,
    TRACEPARENT,
    TRACESTATE,
    Carried,
    checked_baggage,
    checked_tracestate,
    inject,
)
from undercroft._core.context import Trace, correlate, correlation
from undercroft.monitoring._tracing._tracer import TRACER

M = TypeVar("M", bound=MutableMapping[str, str])
_OURS = {TRACEPARENT, TRACESTATE, BAGGAGE}


@overload
def inject_headers(headers: None = None) -> dict[str, str]: ...
@overload
def inject_headers(headers: M) -> M: ...
def inject_headers(headers: Any = None) -> Any:
    """Return `headers` with `traceparent`, `tracestate` and `baggage` of the work here; a new dict when `None`.

    Those of the three that `headers` had, in whatever case, are replaced. Outside of any trace there is no
    `traceparent`.
    """
    target: MutableMapping[str, str] = {} if headers is None else headers
    for name in [name for name in target if name.lower() in _OURS]:
        del target[name]
    names = correlation()
    if TRACER.bridge is not None and (theirs := TRACER.bridge.position(names.trace)) is not None:
        names = replace(names, trace=_trace(theirs))
    target.update(inject(names))
    return target


def extract_headers(headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> Carried:
    """Return the trace position and the baggage that `headers` brought. Never raises: what is not valid is dropped.

    Names may be in any case. Given as pairs, the values of a repeated `tracestate` or `baggage` are joined in their
    order; a repeated `traceparent` is none.
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        if (lower := name.lower()) in _OURS:
            found.setdefault(lower, []).append(value)
    parents = found.get(TRACEPARENT, [])
    trace = None
    if len(parents) == 1:
        trace = Trace.parse(parents[0], checked_tracestate(found.get(TRACESTATE, ())))
    return Carried(trace=trace, baggage=checked_baggage(found.get(BAGGAGE, ())))


@contextmanager
def continue_from(headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> Iterator[Carried]:
    """Go on, for the block, with what `headers` brought: spans inside are children of the sender's.

    Where they bring no valid position, spans inside begin traces of their own, whatever was current before. The baggage
    is replaced too; request id and job id stay.
    """
    carried = extract_headers(headers)
    with correlate(replace(correlation(), trace=carried.trace, baggage=carried.baggage)):
        yield carried


def _trace(position: Any) -> Trace:
    return Trace(
        trace_id=position.trace_id, span_id=position.span_id, is_sampled=position.is_sampled, state=position.state
    )
