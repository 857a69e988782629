"""Spans and lines as rows, and rows as what they were."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from undercroft.monitoring._recent._values import StoryLine
from undercroft.monitoring._tracing._protocol import FinishedSpan, SpanEvent, SpanLink

MAX_BODY_BYTES = 65_536
"""A span or line whose JSON is larger is kept without what makes it so."""

LEVELS = {"trace": 5, "debug": 10, "info": 20, "warning": 30, "warn": 30, "error": 40, "critical": 50, "fatal": 50}
"""The standard library's numbers of the levels' names."""

_NAMES = ("request_id", "trace_id", "span_id", "job_id")
_OWN = frozenset({"timestamp", "level", "logger", "module", "message", "error", "fields", *_NAMES})

Value = str | int | None


class Rows(NamedTuple):
    """What one transaction writes: values in the order of the tables' columns, without `seq`."""

    spans: list[tuple[Value, ...]]
    links: list[tuple[int, str]]
    """Position of a span in `spans`, and the id of a trace it is linked to."""
    lines: list[tuple[Value, ...]]
    dropped_count: int
    """Those that cannot be written as JSON, or are no lines."""


def rows_of(taken: list[FinishedSpan | Mapping[str, Any]], *, now_ms: int) -> Rows:
    """Return what was taken as rows. Never raises because of one of them."""
    rows, dropped = Rows([], [], [], 0), 0
    for item in taken:
        try:
            if isinstance(item, FinishedSpan):
                row = _span_row(_in_range(item))
                rows.links.extend((len(rows.spans), linked) for linked in _linked(item))
                rows.spans.append(row)
            else:
                rows.lines.append(_line_row(item, now_ms))
        except Exception:  # of a value somebody else made: the others of the batch must not suffer
            dropped += 1
    return rows._replace(dropped_count=dropped)


def span_of(body: str) -> FinishedSpan:
    """Return the span that a row's body holds, also one that a newer version wrote more into."""
    known = _known(FinishedSpan, msgspec.json.decode(body))
    known["events"] = [SpanEvent(**_known(SpanEvent, event)) for event in known.get("events", ())]
    known["links"] = [SpanLink(**_known(SpanLink, link)) for link in known.get("links", ())]
    return FinishedSpan(**known)


def line_of(body: str) -> StoryLine:
    """Return the line that a row's body holds."""
    line: dict[str, Any] = msgspec.json.decode(body)
    nested = line.get("fields")
    fields = {key: value for key, value in line.items() if key not in _OWN}
    names = {name: _text(line.get(name)) for name in _NAMES}
    return StoryLine(
        written_at=_instant(line.get("timestamp")) or datetime.fromtimestamp(0, tz=UTC),
        level=str(line.get("level", "info")),
        logger=str(line.get("logger", "")),
        module=_text(line.get("module")),
        message=str(line.get("message", "")),
        error=line.get("error"),
        fields=fields | nested if isinstance(nested, dict) else fields,
        **names,
    )


def level_number(word: str) -> int | None:
    """Return the standard library's number of a level's name (also of `level 25`); `None` for an unknown one."""
    plain = word.strip().lower()
    digits = plain.removeprefix("level").strip()
    return LEVELS.get(plain, int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 4 else None)


def _known(type_: type[msgspec.Struct], value: dict[str, Any]) -> dict[str, Any]:
    return {name: value[name] for name in type_.__struct_fields__ if name in value}


def _span_row(span: FinishedSpan) -> tuple[Value, ...]:
    body = msgspec.json.encode(span)
    if len(body) > MAX_BODY_BYTES:
        body = msgspec.json.encode(_without_details(span))
    return (span.trace_id, span.span_id, span.request_id, span.job_id, span.name,
            span.start_time_ns, span.end_time_ns, int(span.status == "error"),
            body.decode())  # fmt: skip


def _in_range(span: FinishedSpan) -> FinishedSpan:
    # Of a clock that is far off, or another library's span: SQLite takes 64 bits, and so do those who show it.
    if 0 <= span.start_time_ns <= span.end_time_ns < 2**63:
        return span
    start = min(max(span.start_time_ns, 0), 2**63 - 1)
    end = min(max(span.end_time_ns, start), 2**63 - 1)
    return msgspec.structs.replace(span, start_time_ns=start, end_time_ns=end)


def _without_details(span: FinishedSpan) -> FinishedSpan:
    return msgspec.structs.replace(
        span,
        attributes={},
        events=[],
        links=[],
        status_message=span.status_message[:4_096],
        dropped_attributes=span.dropped_attributes + len(span.attributes),
        dropped_events=span.dropped_events + len(span.events),
        dropped_links=span.dropped_links + len(span.links),
    )


def _linked(span: FinishedSpan) -> set[str]:
    return {link.trace_id for link in span.links} - {span.trace_id}


def _line_row(line: Mapping[str, Any], now_ms: int) -> tuple[Value, ...]:
    at, kept = _instant(line.get("timestamp")), dict(line)
    if at is None:
        at = datetime.fromtimestamp(now_ms / 1000, tz=UTC)
        kept["timestamp"] = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = msgspec.json.encode(kept)
    if len(body) > MAX_BODY_BYTES:
        body = msgspec.json.encode(_shortened(kept))
    request_id, trace_id, span_id, job_id = (_text(line.get(name)) for name in _NAMES)
    level = level_number(str(line.get("level", "info"))) or LEVELS["info"]
    return trace_id, span_id, request_id, job_id, level, round(at.timestamp() * 1000), body.decode()


def _shortened(line: dict[str, Any]) -> dict[str, Any]:
    short = {key: str(line[key])[:4_096] for key in ("timestamp", "level", "logger", "message", *_NAMES) if key in line}
    error = line.get("error")
    if isinstance(error, Mapping):
        return {**short, "error": {key: str(error.get(key, ""))[:4_096] for key in ("type", "message")}, "…": "more"}
    return {**short, "…": "more"}


def _instant(text: object) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
