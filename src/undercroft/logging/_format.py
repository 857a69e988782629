"""One entry, one line: what the formats share."""

from __future__ import annotations

import logging as stdlib_logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from undercroft._core.context import Correlation
from undercroft.logging._captured import entry_of
from undercroft.logging._entry import Entry
from undercroft.logging._escape import escape_unsafe
from undercroft.logging._hiding import Hiding
from undercroft.logging._plain import STANDARD, Plain, Redactor, valid

OUR_NAME = "undercroft.logging"
"""The logger of lines that logging itself writes."""
_encode = msgspec.json.Encoder().encode
NO_FIELDS: Mapping[str, Plain] = {}


class LineFormatter(stdlib_logging.Formatter):
    """A format. Usable as the standard library's formatter too, behind any handler.

    Args:
        static: Plain fields for every line, which give way to a line's own.
    """

    def __init__(self, *, redactor: Redactor = STANDARD, static: Mapping[str, Plain] = NO_FIELDS) -> None:
        super().__init__()
        self.redactor = redactor
        self.static = static
        self._hiding = Hiding(redactor)

    def format(self, record: stdlib_logging.LogRecord) -> str:
        """Return `record` as one line without its end. Never raises."""
        try:
            entry = entry_of(record, self.redactor)
        except Exception as failure:
            entry = broken(failure, f"a record of level {record.levelno!r}")
        return self.line(entry)

    def line(self, entry: Entry) -> str:
        """Return `entry` as one line without its end. Never raises."""
        try:
            return self._line(entry)
        except Exception as failure:
            return self._line(broken(failure, f"an entry of level {entry.level!r}"))

    def _line(self, entry: Entry) -> str:
        raise NotImplementedError


class ObjectFormatter(LineFormatter):
    """A format whose lines are JSON objects."""

    def mapping(self, entry: Entry) -> dict[str, Plain]:
        """Return the line's object."""
        raise NotImplementedError

    def _line(self, entry: Entry) -> str:
        mapping = self.mapping(entry)
        try:
            line = _encode(mapping).decode()
        except UnicodeEncodeError:
            line = _encode(valid(mapping)).decode()
        # JSON escapes every other control character itself.
        return line if line.isascii() and "\x7f" not in line else escape_unsafe(line)


class Moment:
    """Writes instants. The lines of one millisecond share their text."""

    def __init__(self, *, is_local: bool = False) -> None:
        self._is_local = is_local
        # One attribute, not two: another thread must not see the millisecond of one and the text of the other.
        self._last = (-1, "")

    def text(self, created: float) -> str:
        """Return `2026-11-20T12:01:02.345Z` (RFC 3339, UTC), or the local time of day `12:01:02.345`."""
        moment = int(created * 1000)
        last, text = self._last
        if last != moment:
            text = self._written(moment)
            self._last = (moment, text)
        return text

    def _written(self, moment: int) -> str:
        second, milliseconds = divmod(moment, 1000)
        if self._is_local:
            return f"{time.strftime('%H:%M:%S', time.localtime(second))}.{milliseconds:03d}"
        day = datetime.fromtimestamp(second, tz=UTC)
        return f"{day:%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"


def broken(failure: Exception, what: str) -> Entry:
    """Return an entry that is surely fine and says what happened to another."""
    return our_entry(stdlib_logging.ERROR, "error", f"{what} could not be formatted: {type(failure).__name__}")


def our_entry(level: int, word: str, message: str, fields: Mapping[str, Plain] = NO_FIELDS) -> Entry:
    """Return an entry that logging itself writes."""
    return Entry(
        created=time.time(),
        level=level,
        word=word,
        logger=OUR_NAME,
        module=None,
        message=message,
        names=Correlation(),
        fields=fields,
        is_plain=True,
    )
