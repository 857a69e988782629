"""The line for people."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from undercroft.logging._entry import Entry
from undercroft.logging._escape import escape_unsafe, without_surrogates
from undercroft.logging._format import NO_FIELDS, LineFormatter, Moment
from undercroft.logging._plain import STANDARD, Plain, Redactor, valid

_SHORT_LEVELS = {5: "TRACE", 10: "DEBUG", 20: "INFO", 30: "WARN", 40: "ERROR", 50: "CRIT"}
_COLORS = {5: "\x1b[2m", 10: "\x1b[2m", 20: "\x1b[32m", 30: "\x1b[33m", 40: "\x1b[31m", 50: "\x1b[1;31m"}
_DIM, _RESET = "\x1b[2m", "\x1b[0m"
_BARE = re.compile(r"""[^\s"'=\[\]{}\\]+""")
_FRAME = re.compile(r'^  File "(.*)", line (\d+), in (.+)$', re.MULTILINE)


class TextFormatter(LineFormatter):
    """`12:01:02.345 INFO  shop.http order paid order_id=7 amount=9.5 [01J…]`, in local time.

    An error is `error="KeyError: 'x'" at="pay.py:31 in pay < http.py:12 in handle"`, innermost frame first, and
    `cause=…` for what caused it. The last word in brackets is the request id, or the job id. Fields that every line
    has are left out: whoever reads this knows where they are.
    """

    def __init__(self, *, colors: bool, redactor: Redactor = STANDARD, static: Mapping[str, Plain] = NO_FIELDS) -> None:
        super().__init__(redactor=redactor, static=static)
        self._colors = colors
        self._moment = Moment(is_local=True)

    def _line(self, entry: Entry) -> str:
        line = escape_unsafe(without_surrogates(self._words(entry)))
        if not self._colors:
            return line
        # After escaping, so that no escape code but ours can be in the line.
        moment, level, rest = line.split(" ", 2)
        return f"{_DIM}{moment}{_RESET} {_COLORS.get(entry.level, '')}{level}{_RESET} {rest}"

    def _words(self, entry: Entry) -> str:
        message, fields = self._hiding.of(entry)
        level = _SHORT_LEVELS.get(entry.level) or _one_word(entry.word.upper())
        words = [f"{self._moment.text(entry.created)} {level:<5}", _one_word(entry.logger), message]
        words += [f"{_one_word(name)}={_value(value)}" for name, value in fields.items()]
        words += _error_words("error", entry.error)
        names = self._hiding.names(entry.names)
        tag = names.get("request_id") or names.get("job_id")
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
    return msgspec.json.encode(valid(value)).decode()


def _one_word(text: str) -> str:
    text = without_surrogates(text)
    return text if _BARE.fullmatch(text) else msgspec.json.encode(text).decode()
