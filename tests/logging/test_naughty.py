"""Every naughty string, in every place of a record, through every format: one line, that parses, with the string."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.logging.naughty import naughty_strings
from undercroft._core.context import Correlation, correlate
from undercroft.logging import Logger, redact_text
from undercroft.logging._captured import entry_of
from undercroft.logging._format import LineFormatter
from undercroft.logging._json import JsonFormatter
from undercroft.logging._standards import EcsFormatter, OtelFormatter
from undercroft.logging._text import TextFormatter

STRINGS = naughty_strings()
JSON = {"json": JsonFormatter(), "ecs": EcsFormatter(), "otel": OtelFormatter()}
FORMATTERS: dict[str, LineFormatter] = {
    **JSON,
    "text": TextFormatter(colors=False),
    "coloured text": TextFormatter(colors=True),
}
OUR_COLORS = ("\x1b[2m", "\x1b[32m", "\x1b[31m", "\x1b[0m")


def as_message(text: str) -> logging.LogRecord:
    return logging.LogRecord("shop", logging.INFO, "", 1, text, None, None)


def as_argument(text: str) -> logging.LogRecord:
    return logging.LogRecord("shop", logging.INFO, "", 1, "got %s", (text,), None)


def as_field(text: str) -> logging.LogRecord:
    record = as_message("x")
    record.__dict__["value"] = text
    return record


def as_nested_value(text: str) -> logging.LogRecord:
    record = as_message("x")
    record.__dict__["value"] = {"list": [text, (text, 1)]}
    return record


def as_key(text: str) -> logging.LogRecord:
    record = as_message("x")
    record.__dict__[f"k{text}"] = 1
    record.__dict__["nested"] = {text: 1}
    return record


def as_error(text: str) -> logging.LogRecord:
    error = ValueError(text)
    error.add_note(text)
    record = as_message("x")
    record.exc_info = (ValueError, error, None)
    return record


def as_logger(text: str) -> logging.LogRecord:
    record = as_message("x")
    record.name = text
    return record


def as_level(text: str) -> logging.LogRecord:
    record = as_message("x")
    record.levelno, record.levelname = 25, text
    return record


def as_request(text: str) -> logging.LogRecord:
    record = as_message("x")
    with correlate(Correlation(request_id=text, job_id=text)):
        entry_of(record)
    return record


PLACES = [as_message, as_argument, as_field, as_nested_value, as_key, as_error, as_logger, as_level, as_request]
Place = Callable[[str], logging.LogRecord]


def without_our_colors(line: str) -> str:
    for color in OUR_COLORS:
        line = line.replace(color, "")
    return line


def is_one_line(line: str) -> bool:
    line.encode("utf-8")  # raises for a lone surrogate
    return len(f"{line}.".splitlines()) == 1 and not any(
        ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or 0x202A <= ord(c) <= 0x202E or 0x2066 <= ord(c) <= 0x2069 for c in line
    )


def test_there_are_as_many_as_in_the_big_lists() -> None:
    assert len(STRINGS) >= 515
    assert len(set(STRINGS)) == len(STRINGS)


@pytest.mark.parametrize("make", PLACES, ids=lambda make: make.__name__)
@pytest.mark.parametrize("name", FORMATTERS)
def test_a_naughty_string_is_one_line_wherever_it_is(name: str, make: Place) -> None:
    for text in STRINGS:
        line = without_our_colors(FORMATTERS[name].format(make(text)))
        assert is_one_line(line), ascii(text)


@pytest.mark.parametrize("make", PLACES, ids=lambda make: make.__name__)
@pytest.mark.parametrize("name", JSON)
def test_a_naughty_string_leaves_json_that_is_json(name: str, make: Place) -> None:
    for text in STRINGS:
        line = json.loads(JSON[name].format(make(text)), object_pairs_hook=_without_twins)
        assert isinstance(line, Mapping), ascii(text)


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({key for key, _ in pairs}) == len(pairs)
    return dict(pairs)


MESSAGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "json": lambda line: (line["message"], line["value"]),
    "ecs": lambda line: (line["message"], line["labels"]["value"]),
    "otel": lambda line: (line["Body"], line["Attributes"]["value"]),
}


@pytest.mark.parametrize("name", JSON)
def test_a_naughty_string_comes_back_as_it_was(name: str) -> None:
    came_back = 0
    for text in STRINGS:
        if len(text) > 8_192 or redact_text(text) != text or not _can_be_encoded(text):
            continue
        record = as_field(text)
        record.msg = text
        assert MESSAGES[name](json.loads(JSON[name].format(record))) == (text, text)
        came_back += 1
    assert came_back > 0.9 * len(STRINGS)


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "caf\udcc3\udca9"])
def test_a_lone_surrogate_is_spelled_out(text: str) -> None:
    spelled = text.encode("utf-8", "backslashreplace").decode()
    line = json.loads(JSON["json"].format(as_field(text)))
    assert line["value"] == spelled


@pytest.mark.parametrize("place", ["alone"], indirect=True)  # pytest's own report cannot carry lone surrogates
def test_a_logger_of_ours_writes_each_as_one_line_too(log_as: Callable[..., Any], lines: Any) -> None:
    for form in FORMATTERS:
        if form == "coloured text":
            continue
        with log_as(form):
            before = len(lines.written)
            for number, text in enumerate(STRINGS):
                Logger({"context": text}, module=f"m{text}").info(text, {text: text, "number": number}, value=text)
        written = lines.written[before:]
        assert len(written) == len(STRINGS)
        assert all(is_one_line(line) for line in written)


def _can_be_encoded(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
