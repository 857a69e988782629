"""Structured fields: examples of RFC 9651, and another implementation as the judge."""

from __future__ import annotations

import datetime as dt
import decimal

import http_sf
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from undercroft.asgi._guard._structured import (
    LARGEST,
    Item,
    MalformedFieldError,
    Token,
    parse_dictionary,
    parse_list,
    write_bytes,
    write_integer,
    write_string,
)

PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126))
PIECES = st.sampled_from(
    [
        *(
            '"a"',
            '"',
            "\\",
            ";q=1",
            ";w",
            ";pk=:YQ==:",
            ":YWI=:",
            ":",
            ",",
            " ",
            "\t",
            "(",
            ")",
            "1",
            "-1",
            "1.5",
            "-",
            "=",
        ),
        *(
            "=",
            "tok",
            "?1",
            "?0",
            "@17",
            "@",
            '%"a%c3%bc"',
            "*a",
            "limit=5",
            "a",
            "A",
            ";",
            "123456789012345",
            "é",
            "\x00",
        ),
        "1234567890123456",
    ]
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # RFC 9651 §3.1, §3.1.2, §3.3
        ("sugar, tea, rum", [Item(Token("sugar")), Item(Token("tea")), Item(Token("rum"))]),
        (
            "abc;a=1;b=2; cde_456, (ghi;jk=4 l);q=9",
            [Item(Token("abc"), {"a": 1, "b": 2, "cde_456": True}), Item(None, {"q": 9})],
        ),
        ("1; a; b=?0", [Item(1, {"a": True, "b": False})]),
        (r'"hello \"world\" \\"', [Item('hello "world" \\')]),
        ("4.5, -2, @1659578233", [Item(4.5), Item(-2), Item(1659578233)]),
        (":cHJldGVuZCB0aGlzIGlzIGJpbmFyeSBjb250ZW50Lg==:", [Item(b"pretend this is binary content.")]),
        ('%"This is intended for display to %c3%bcsers."', [Item("This is intended for display to üsers.")]),
        ("", []),
    ],
)
def test_the_rfcs_lists_are_read(text: str, expected: list[Item]) -> None:
    assert parse_list(text) == expected


def test_the_rfcs_dictionary_is_read() -> None:
    found = parse_dictionary('en="Applepie", da=:w4ZibGV0w6ZydGU=:, a=?0, b, c; foo=bar')
    assert found == {
        "en": Item("Applepie"),
        "da": Item("Æbletærte".encode()),
        "a": Item(False),
        "b": Item(True),
        "c": Item(True, {"foo": Token("bar")}),
    }


@pytest.mark.parametrize(
    "text",
    [
        "a,",
        ",a",
        "a b",
        '"a',
        '"\\a"',
        "1.",
        "1.2345",
        "1234567890123456",
        "--1",
        ":a b:",
        "?2",
        "a;B=1",
        "(a",
        "(a(b))",
        "é",
        '%"%C3"',
    ],
)
def test_what_breaks_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(MalformedFieldError):
        parse_list(text)


@given(st.lists(PIECES, max_size=12).map("".join))
@example("(1.5(")
@example('"a";q=1 ,\t"b"')
def test_reads_and_refuses_what_another_implementation_does(text: str) -> None:
    try:
        ours: object = [(item.value, dict(item.parameters)) for item in parse_list(text)]
    except MalformedFieldError:
        ours = "malformed"
    try:
        judged = http_sf.parse(text.encode("utf-8"), tltype="list")
        theirs: object = [_plain(member) for member in judged] if text.strip(" ") else []
    except http_sf.StructuredFieldError:
        theirs = "malformed"
    assert ours == theirs


@given(PRINTABLE, st.integers(-LARGEST, LARGEST), st.binary())
def test_what_is_written_is_read_as_it_was(text: str, number: int, data: bytes) -> None:
    line = f"{write_string(text)};n={write_integer(number)};b={write_bytes(data)}"
    assert parse_list(line) == [Item(text, {"n": number, "b": data})]
    assert http_sf.parse(line.encode(), tltype="item") == (text, {"n": number, "b": data})


@given(st.text())
def test_any_name_makes_a_line_that_is_legal(text: str) -> None:
    written = write_string(text)
    assert written.isascii()
    assert written.isprintable()
    assert len(parse_list(written)) == 1


def test_an_integer_is_kept_within_what_a_field_may_say() -> None:
    assert write_integer(10**20) == str(LARGEST)


def _plain(member: object) -> tuple[object, object]:
    value, parameters = member if isinstance(member, tuple) else (member, {})
    kept = {name: _plain_value(each) for name, each in parameters.items()}
    return (None if isinstance(value, list) else _plain_value(value)), kept


def _plain_value(value: object) -> object:
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, dt.datetime):
        return int(value.timestamp())
    return str(value) if isinstance(value, http_sf.Token | http_sf.DisplayString) else value
