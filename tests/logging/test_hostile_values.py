"""Whatever is logged: one line, that parses, without the secret, and the value is as it was."""

from __future__ import annotations

import copy
import dataclasses
import enum
import json
import logging
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undercroft._core.context import Correlation, correlate
from undercroft.logging import Logger, redact_text
from undercroft.logging._json import JsonFormatter
from undercroft.logging._text import TextFormatter

FORMATTERS = [JsonFormatter(), TextFormatter(colors=False)]
CANARY = "kanarienvogel"
in_its_own_time = settings(deadline=None)  # a busy machine is no failure


class Broken:
    """An object that cannot be shown."""

    def __repr__(self) -> str:
        raise ValueError("no")

    __str__ = __repr__


@dataclasses.dataclass(repr=False)
class Unshown:
    """Keeps Hypothesis from showing a value that cannot be shown."""

    value: Any


class Liar:
    """An object that says it is something else."""

    def __init__(self, kind: type) -> None:
        self.kind = kind

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return self.__dict__["kind"]


class BrokenMapping(dict[str, object]):
    def items(self) -> Any:
        raise RuntimeError("changed size during iteration")


def cycle() -> dict[str, Any]:
    around: dict[str, Any] = {}
    around["again"] = [around]
    return around


def endless() -> Iterator[int]:
    while True:
        yield 1


HOSTILE = [
    Broken(),
    Liar(bool),
    Liar(str),
    Liar(int),
    Liar(dict),
    Liar(Exception),
    BrokenMapping(),
    cycle(),
    endless(),
    10**30,
    10**6000,
    math.nan,
    -math.inf,
    b"\xff\x00\n",
    {1, 2},
    memoryview(b"abc"),
    ValueError("a\nb"),
    ExceptionGroup("\x1b[31m", [ValueError("\ud800")]),
    "\x1b[31mred\x1b[0m \u202eevil\u2066 \x85 \u2028 \u2029 \x9b31m \ud800 \x00 \r\n",
    object,
    len,
]
HUGE = [
    "x" * 200_000,
    ["x" * 9_000] * 500,
    {"a": {str(n): list(range(300)) for n in range(300)}},
    {str(n): "x" * 1_000 for n in range(1_000)},
]

# By number: Hypothesis shows what it samples from.
hostile = st.integers(0, len(HOSTILE) - 1).map(lambda number: HOSTILE[number])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | hostile,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text() | st.integers() | st.binary(max_size=8), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=12,
)


def record_of(message: str, fields: dict[str, object]) -> logging.LogRecord:
    """Make a record as a standard library logger does, with `fields` as extra."""
    record = logging.LogRecord("some\nlogger", logging.INFO, __file__, 1, message, None, None)
    record.__dict__.update({f"x_{key}": value for key, value in fields.items()})
    return record


def both_lines(message: str, fields: dict[str, Any]) -> list[str]:
    """Log through a `Logger` and return its JSON line, then format a foreign record both ways."""
    got: list[str] = []
    Logger(sink=got.append).info(message, fields)
    return got + [formatter.format(record_of(message, fields)) for formatter in FORMATTERS]


@in_its_own_time
@given(message=st.text(), fields=st.dictionaries(st.text(), json_values, max_size=4).map(Unshown))
def test_any_record_is_exactly_one_line_and_json_parses(message: str, fields: Any) -> None:
    ours, theirs, text = both_lines(message, fields.value)
    for line in (ours, theirs, text):
        assert len(line.splitlines()) == 1  # at any of the separators that Python knows
        assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or c in "\u200e\u202e\u2066\ufeff" for c in line)
        line.encode()
    for line in (ours, theirs):
        assert json.loads(line)["level"] == "info"


@pytest.mark.parametrize("value", HOSTILE + HUGE, ids=lambda value: type(value).__name__)
def test_a_hostile_value_leaves_the_line_to_the_others(value: Any) -> None:
    for line in both_lines("still here", {"hostile": value, "good": 1}):
        assert "still here" in line
        assert len(line) < 200_000
    assert json.loads(both_lines("x", {"hostile": value, "good": 1})[0])["good"] == 1


@in_its_own_time
@given(message=st.text().filter(lambda text: text.isprintable() and redact_text(text) == text))
def test_a_printable_message_comes_back_as_it_was(message: str) -> None:
    assert json.loads(both_lines(message, {})[0])["message"] == message


@pytest.mark.parametrize("name", ["timestamp", "level", "logger", "module", "message", "fields"])
def test_a_field_cannot_pass_for_what_we_say(name: str) -> None:
    got: list[str] = []
    Logger(sink=got.append, module="shop").info("true", **{name: "forged"})
    line = json.loads(got[0])
    assert line["fields"] == {name: "forged"}
    assert (line["level"], line["message"], line["module"]) == ("info", "true", "shop")


def test_a_field_cannot_pass_for_the_request_id_of_the_request() -> None:
    got: list[str] = []
    log = Logger(sink=got.append)
    with correlate(Correlation(request_id="real")):
        log.info("x", request_id="forged")
    log.info("x", request_id="own")
    inside, outside = map(json.loads, got)
    assert (inside["request_id"], inside["fields"]) == ("real", {"request_id": "forged"})
    assert outside["request_id"] == "own"


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_a_record_that_cannot_be_formatted_becomes_a_line_that_says_so(formatter: logging.Formatter) -> None:
    record = record_of("x", {})
    record.created = "yesterday"  # type: ignore[assignment]
    line = formatter.format(record)
    assert "could not be formatted: ValueError" in line
    assert "\n" not in line


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_arguments_that_do_not_fit_leave_the_message(formatter: logging.Formatter) -> None:
    record = logging.LogRecord("a", logging.INFO, "", 1, "count %d", ("many",), None)
    assert "count %d (its arguments do not fit: TypeError)" in formatter.format(record)


def test_the_timestamp_is_rfc_3339_in_utc_with_milliseconds() -> None:
    record = record_of("x", {})
    record.created = datetime(2026, 11, 20, 12, 1, 2, 345_000, tzinfo=UTC).timestamp()
    assert json.loads(JsonFormatter().format(record))["timestamp"] == "2026-11-20T12:01:02.345Z"


class Color(enum.Enum):
    RED = "red"


def shown(value: object) -> Any:
    got: list[str] = []
    Logger(sink=got.append).info("x", value=value)
    return json.loads(got[0])["value"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (Color.RED, "red"),
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        (2**63, 2**63),
        (2**70, str(2**70)),
        (b"caf\xc3\xa9 \xff", "café \\xff"),
        (Decimal("1.10"), "1.10"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (datetime(2026, 11, 20, tzinfo=UTC), "2026-11-20T00:00:00+00:00"),
        (timedelta(seconds=5), "0:00:05"),
        (PurePosixPath("/srv"), "/srv"),
        ((1, 2), [1, 2]),
        ({1: "a"}, {"1": "a"}),
        ("\ud800", "\\ud800"),
        ("x" * 8_193, "x" * 8_192 + "…(+1 characters)"),
    ],
)
def test_a_value_is_shown_as(value: object, expected: object) -> None:
    assert shown(value) == expected


@dataclasses.dataclass
class Login:
    user: str
    password: str
    hidden: str = dataclasses.field(default=CANARY, repr=False)


class LoginTuple(NamedTuple):
    user: str
    password: str


class LoginStruct(msgspec.Struct):
    user: str
    password: str


class LoginModel(pydantic.BaseModel):
    user: str
    password: str


@attrs.define
class LoginAttrs:
    user: str
    password: str


@pytest.mark.parametrize("kind", [Login, LoginTuple, LoginStruct, LoginModel, LoginAttrs])
def test_secret_fields_of_models_are_hidden_by_name(kind: Callable[..., object]) -> None:
    assert shown(kind(user="ada", password=CANARY)) == {"user": "ada", "password": "***"}


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "PASSWORD",
        "user_password",
        "Authorization",
        "Set-Cookie",
        "x-api-key",
        "apiKey",
        "API KEY",
        "accessToken",
        "client_secret",
        "session_id",
        "credentials",
        "private-key",
        "auth",
        b"cookie",
    ],
)
def test_a_secret_key_is_known_in_any_spelling(key: Any) -> None:
    for line in both_lines("x", {"outer": [{key: CANARY}, {key: [CANARY]}, {key: {"a": CANARY}}, (key, CANARY)]}):
        assert CANARY not in line
        assert "***" in line


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("author", "ada"),
        ("max_tokens", 4096),
        ("session_count", 3),
        ("has_password", True),
        ("token", None),
        ("pinned", 1),
    ],
)
def test_what_only_sounds_like_a_secret_is_shown(key: str, value: object) -> None:
    assert shown({key: value}) == {key: value}


secret_keys = st.sampled_from(["password", "Api-Key", "AUTHORIZATION", "refresh_token", "cookies", "sessionId"])


@st.composite
def planted(draw: st.DrawFn) -> Any:
    """A value with the canary under a secret key, somewhere inside."""
    value: Any = {draw(secret_keys): draw(st.sampled_from([CANARY, [CANARY], {"a": {"b": CANARY}}, CANARY.encode()]))}
    for _ in range(draw(st.integers(0, 6))):
        beside = draw(json_values)
        value = draw(st.sampled_from([{"k": value, "l": beside}, [beside, value], (value,), {"list": [value]}]))
    return value


@in_its_own_time
@given(value=planted().map(Unshown))
def test_redaction_never_leaks_a_planted_canary(value: Any) -> None:
    for line in both_lines("x", {"value": value.value}):
        assert CANARY not in line


def test_containers_among_a_messages_arguments_are_redacted() -> None:
    for arguments in (({"password": CANARY},), ([{"token": CANARY}],)):
        record = logging.LogRecord("a", logging.INFO, "", 1, "got %s", arguments, None)
        assert all(CANARY not in formatter.format(record) for formatter in FORMATTERS)
    record = logging.LogRecord("a", logging.INFO, "", 1, "%(password)s", ({"password": CANARY},), None)
    assert all(CANARY not in formatter.format(record) for formatter in FORMATTERS)


def test_a_mapping_as_the_message_is_redacted() -> None:
    record = logging.LogRecord("a", logging.INFO, "", 1, {"password": CANARY, "a": 1}, None, None)  # type: ignore[arg-type]
    assert json.loads(JsonFormatter().format(record))["message"] == '{"password":"***","a":1}'


@in_its_own_time
@given(
    value=st.recursive(
        st.none() | st.integers() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(secret_keys | st.text(), inner),
        max_leaves=20,
    )
)
def test_redaction_never_changes_the_callers_object(value: Any) -> None:
    before = copy.deepcopy(value)
    both_lines("x", {"value": value})
    assert value == before


passwords = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)


@in_its_own_time
@given(before=passwords.filter(lambda text: ":" not in text and "/" not in text and "@" not in text), after=passwords)
def test_the_userinfo_of_a_url_never_leaks(before: str, after: str) -> None:
    user = before.translate({ord(c): None for c in "?#"})
    password = f"{after}{CANARY}".lstrip("0123456789")  # digits and a slash are a port and a path
    url = f"postgresql+asyncpg://{user}:{password}@db.example:5432/shop"
    for line in both_lines(f"cannot reach {url} now", {"url": url, "nested": [url]}):
        assert CANARY not in line
        assert "now" in line


def test_the_userinfo_of_a_url_in_an_exception_never_leaks() -> None:
    got: list[str] = []
    url = f"redis://:{CANARY}@cache:6379/0"
    try:
        raise ConnectionError(f"refused: {url}")
    except ConnectionError as exc:
        Logger(sink=got.append).error("x", exc)
    assert CANARY not in got[0]
    assert "redis://***@cache:6379/0" in got[0]


@pytest.mark.parametrize(
    "text",
    [
        "see http://localhost:8080/@me and https://example.com/a@b",
        "ask https://example.com/?to=ada about https://example.com:8080/@ada",
    ],
)
def test_urls_without_userinfo_stay(text: str) -> None:
    assert redact_text(text) == text


def test_a_long_text_that_looks_like_urls_does_not_take_long() -> None:
    redact_text("://a:x" * 5_000 + "@" * 5_000)
    redact_text("://" + "a" * 100_000 + "@")
