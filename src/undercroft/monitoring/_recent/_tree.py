"""How the spans and lines of a story are put together: each once, whatever ids they carry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from undercroft.monitoring._recent._values import StoryEntry, StoryLine, StorySpan
from undercroft.monitoring._tracing._protocol import FinishedSpan

MAX_DEPTH = 64
"""Spans that are deeper stand beside their parent: a function that calls itself must not exhaust who reads this."""

_Key = tuple[str, str]
_Order = tuple[int, int, int]
"""Nanoseconds, spans before lines, and what came first."""


def tree_of(spans: Iterable[FinishedSpan], lines: Sequence[StoryLine]) -> tuple[StoryEntry, ...]:
    """Return the entries at the top, the others inside them.

    A span stands under its parent. Without one here it stands under the first span that it links to, as a job's run
    does under the span that enqueued it, and else at the top. A line stands under the span that wrote it, or at the
    top. In order of time. A line whose time is known to the millisecond only comes after the spans of that.
    """
    ordered = sorted(spans, key=lambda span: (span.start_time_ns, -span.end_time_ns))
    places: dict[_Key, int] = {}
    for position, span in enumerate(ordered):
        places.setdefault((span.trace_id, span.span_id), position)
    holders = _holders(ordered, places)
    inside: list[list[tuple[_Order, StoryEntry]]] = [[] for _ in ordered]
    top: list[tuple[_Order, StoryEntry]] = []
    for number, line in enumerate(lines):
        place = places.get((line.trace_id or "", line.span_id or ""))
        (top if place is None else inside[place]).append(((_line_ns(line), 1, number), line))
    for position in reversed(_outermost_first(holders)):
        span, holder = ordered[position], holders[position]
        made = StorySpan(span=span, entries=_in_order(inside[position]))
        target = top if holder is None else inside[holder]
        target.append(((span.start_time_ns, 0, position), made))
    return _in_order(top)


def _holders(spans: list[FinishedSpan], places: dict[_Key, int]) -> list[int | None]:
    """Return the position of the span that each one stands under; no circles, and none too deep."""
    holders: list[int | None] = []
    for position, span in enumerate(spans):
        keys = [(span.trace_id, span.parent_span_id or ""), *((link.trace_id, link.span_id) for link in span.links)]
        found = (places[key] for key in keys if key in places)
        holders.append(next((place for place in found if place != position), None))
    for position in range(len(holders)):
        if _leads_back(holders, position):
            holders[position] = None
    depths: dict[int, int] = {}
    for position in _outermost_first(holders):
        holder = holders[position]
        if holder is not None and depths[holder] == MAX_DEPTH - 1:
            holder = holders[position] = holders[holder]
        depths[position] = 0 if holder is None else depths[holder] + 1
    return holders


def _leads_back(holders: list[int | None], position: int) -> bool:
    at = holders[position]
    for _ in holders:  # a circle that this span is not part of would never end
        if at is None or at == position:
            break
        at = holders[at]
    return at == position


def _outermost_first(holders: list[int | None]) -> list[int]:
    held: dict[int | None, list[int]] = {}
    for position, holder in enumerate(holders):
        held.setdefault(holder, []).append(position)
    order = list(held.get(None, ()))
    for position in order:  # grows while it is read
        order += held.get(position, ())
    return order


def _in_order(entries: list[tuple[_Order, StoryEntry]]) -> tuple[StoryEntry, ...]:
    return tuple(entry for _, entry in sorted(entries, key=lambda pair: pair[0]))


def _line_ns(line: StoryLine) -> int:
    microseconds = round(line.written_at.timestamp() * 1_000_000)
    # Cut to the millisecond, as most are: it may have been written at any moment of it.
    return microseconds * 1_000 + (0 if microseconds % 1_000 else 999_999)
