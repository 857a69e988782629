"""The JSON line, in our own field names."""

from __future__ import annotations

from collections.abc import Mapping

from undercroft.logging._entry import Entry
from undercroft.logging._format import NO_FIELDS, Moment, ObjectFormatter
from undercroft.logging._plain import STANDARD, Plain, Redactor

# Always nested, whether this line has them or not: a key must not change its meaning from line to line.
_RESERVED = frozenset({"timestamp", "level", "logger", "module", "message", "fields"})
_NAMES = frozenset({"request_id", "trace_id", "span_id", "job_id", "error"})


class JsonFormatter(ObjectFormatter):
    """A JSON object, its keys in this order.

    `timestamp` (RFC 3339, UTC, milliseconds), `level`, `logger`, `module` (where the `Logger` was given one),
    `message`; those that apply of `request_id`, `trace_id`, `span_id`, `job_id`; `error`; then the fields, those of
    every line first. A field whose name is taken is nested: `fields: {"level": …}`. So no field can pass for what we
    say.
    """

    def __init__(self, *, redactor: Redactor = STANDARD, static: Mapping[str, Plain] = NO_FIELDS) -> None:
        super().__init__(redactor=redactor, static=static)
        self._moment = Moment()
        self._special = _RESERVED | _NAMES

    def mapping(self, entry: Entry) -> dict[str, Plain]:
        message, fields = self._hiding.of(entry)
        line: dict[str, Plain] = {
            "timestamp": self._moment.text(entry.created),
            "level": entry.word,
            "logger": entry.logger,
        }
        if entry.module is not None:
            line["module"] = entry.module
        line["message"] = message
        names = entry.names
        if names.trace is not None or names.request_id is not None or names.job_id is not None:
            line.update(self._hiding.names(names))
        if entry.error is not None:
            line["error"] = entry.error
        if self.static:
            fields = {**self.static, **fields}
        if self._special.isdisjoint(fields):
            line.update(fields)
        else:
            _add_around(line, fields)
        return line


def _add_around(line: dict[str, Plain], fields: Mapping[str, Plain]) -> None:
    nested: dict[str, Plain] = {}
    for name, value in fields.items():
        (nested if name in _RESERVED or name in line else line)[name] = value
    if nested:
        line["fields"] = nested
