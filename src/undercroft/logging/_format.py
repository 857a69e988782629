"""One record, one line: as JSON for machines, as text for a terminal."""

from __future__ import annotations

import logging as stdlib_logging
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from undercroft.logging._captured import captured
from undercroft.logging._escape import escape_unsafe, without_surrogates
from undercroft.logging._message import message_of
from undercroft.logging._plain import Plain

# Always nested, whether this line has them or not: a key must not change its meaning from line to line.
_RESERVED = frozenset({"timestamp", "level", "logger", "module", "message", "fields"})


class LineFormatter(stdlib_logging.Formatter):
    """What both formats share: a record that cannot be formatted becomes a line that says so."""

    def format(self, record: stdlib_logging.LogRecord) -> str:
        """Return `record` as one line without its end. Never raises."""
        try:
            return escape_unsafe(self._line(record))
        except Exception as failure:
            return escape_unsafe(self._line(_broken(record, failure)))

    def _line(self, record: stdlib_logging.LogRecord) -> str:
        raise NotImplementedError


class JsonFormatter(LineFormatter):
    """A JSON object, its keys in this order.

    `timestamp` (RFC 3339, UTC, milliseconds), `level`, `logger`, `module` (where the `Logger` was given one),
    `message`; those that apply of `request_id`, `trace_id`, `span_id`, `job_id`; `error`; then the fields. A field
    whose name is taken is nested: `fields: {"level": …}`. So no field can pass for what we say.
    """

    def _line(self, record: stdlib_logging.LogRecord) -> str:
        carried = captured(record)
        line: dict[str, Plain] = {
            "timestamp": _rfc3339(record.created),
            "level": _level_word(record),
            "logger": without_surrogates(record.name),
        }
        if carried.module is not None:
            line["module"] = without_surrogates(carried.module)
        line["message"] = message_of(record)
        line.update(carried.names)
        if carried.error is not None:
            line["error"] = carried.error
        nested: dict[str, Plain] = {}
        for name, value in carried.fields.items():
            (nested if name in _RESERVED or name in line else line)[name] = value
        if nested:
            line["fields"] = nested
        return msgspec.json.encode(line).decode()


_SHORT_LEVELS = {10: "DEBUG", 20: "INFO", 30: "WARN", 40: "ERROR", 50: "CRIT"}
_COLORS = {10: "\x1b[2m", 20: "\x1b[32m", 30: "\x1b[33m", 40: "\x1b[31m", 50: "\x1b[1;31m"}
_DIM, _RESET = "\x1b[2m", "\x1b[0m"
_BARE = re.compile(r"""[^\s"'=\[\]{}\\]+""")
_FRAME = re.compile(r'^  File "(.*)", line (\d+), in (.+)$', re.MULTILINE)


class TextFormatter(LineFormatter):
    """`12:01:02.345 INFO  shop.http order paid order_id=7 amount=9.5 [01J…]`, in local time.

    An error is `error="KeyError: 'x'" at="pay.py:31 in pay < http.py:12 in handle"`, innermost frame first, and
    `cause=…` for what caused it. The last word in brackets is the request id, or the job id.
    """

    def __init__(self, *, colors: bool) -> None:
        super().__init__()
        self._colors = colors

    def format(self, record: stdlib_logging.LogRecord) -> str:
        """Return `record` as one line without its end. Never raises."""
        line = super().format(record)
        if not self._colors:
            return line
        # After escaping, so that no escape code but ours can be in the line.
        moment, level, rest = line.split(" ", 2)
        return f"{_DIM}{moment}{_RESET} {_COLORS.get(record.levelno, '')}{level}{_RESET} {rest}"

    def _line(self, record: stdlib_logging.LogRecord) -> str:
        carried = captured(record)
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = _SHORT_LEVELS.get(record.levelno) or _one_word(_level_word(record).upper())
        words = [f"{moment}.{int(record.created * 1000) % 1000:03d} {level:<5}", _one_word(record.name)]
        words.append(without_surrogates(message_of(record)))
        words += [f"{_one_word(name)}={_value(value)}" for name, value in carried.fields.items()]
        words += _error_words("error", carried.error)
        tag = carried.names.get("request_id") or carried.names.get("job_id")
        return " ".join([*words, f"[{tag}]"] if tag else words)


def _error_words(label: str, error: Plain) -> list[str]:
    if not isinstance(error, Mapping):
        return [] if error is None else [f"{label}={_value(error)}"]
    words = [f"{label}={_value(': '.join(str(error.get(part)) for part in ('type', 'message')))}"]
    frames = _FRAME.findall(str(error.get("stack", "")))
    if frames:
        at = " < ".join(f"{_file(path)}:{line} in {name}" for path, line, name in reversed(frames))
        words.append(f"at={_value(at)}")
    members = error.get("errors")
    for member in members if isinstance(members, list) else []:
        words += _error_words("member", member)
    return words + _error_words("cause", error.get("cause"))


def _file(path: str) -> str:
    return "/".join(path.replace("\\", "/").split("/")[-2:])


def _value(value: Plain) -> str:
    if isinstance(value, str) and _BARE.fullmatch(value):
        return value
    return msgspec.json.encode(value).decode()


def _one_word(text: str) -> str:
    text = without_surrogates(text)
    return text if _BARE.fullmatch(text) else msgspec.json.encode(text).decode()


def _level_word(record: stdlib_logging.LogRecord) -> str:
    return without_surrogates(str(record.levelname)).lower()


def _rfc3339(created: float) -> str:
    return datetime.fromtimestamp(created, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _broken(record: stdlib_logging.LogRecord, failure: Exception) -> stdlib_logging.LogRecord:
    """Return a record that is surely fine and says what happened to `record`."""
    message = f"a record of level {record.levelno!r} could not be formatted: {type(failure).__name__}"
    return stdlib_logging.LogRecord("undercroft.logging", stdlib_logging.ERROR, "", 0, message, None, None)
