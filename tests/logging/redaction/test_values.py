"""Redaction of whole values: a copy, of the same make, and the caller's is as it was."""

from __future__ import annotations

import copy
import dataclasses
import enum
from collections import OrderedDict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undercroft.logging import RedactionError, Secret, redact, redact_pii

CANARY = "kanarienvogel"


class Field(NamedTuple):
    name: str
    password: str


class Level(enum.Enum):
    HIGH = "high"


@dataclasses.dataclass
class Login:
    user: str
    password: str


class Token(msgspec.Struct):
    kind: str
    token: str


class Odd:
    def __repr__(self) -> str:
        return f"<Odd password={CANARY!r}>"


@pytest.mark.parametrize(
    ("value", "redacted"),
    [
        ("ada@example.com", "[EMAIL]"),
        (b"password=x1 \xff", b"password=*** \xff"),
        (4111111111111111, "[CARD]"),
        (4111111111111112, 4111111111111112),
        (10**40, 10**40),
        ({"a": {"password": "x", "n": 1}}, {"a": {"password": "***", "n": 1}}),
        ({b"Cookie": b"x"}, {b"Cookie": "***"}),
        ({"ada@example.com": 1}, {"[EMAIL]": 1}),
        ({7: "a", None: "b"}, {7: "a", None: "b"}),
        (OrderedDict(token="x"), {"token": "***"}),
        ([("cookie", "x"), ("host", "y")], [("cookie", "***"), ("host", "y")]),
        (("a", "ada@example.com", 1), ("a", "[EMAIL]", 1)),
        (Field("a", "b"), Field("a", "***")),
        ({"1", "ada@example.com"}, {"1", "[EMAIL]"}),
        (frozenset({"1"}), frozenset({"1"})),
        (Login("ada", "x"), {"user": "ada", "password": "***"}),
        (Token("a", "x"), {"kind": "a", "token": "***"}),
        (Odd(), "<Odd password='***'>"),
        (Secret("x"), "***"),
        ({"password": None, "token": True, "max_tokens": 7}, {"password": None, "token": True, "max_tokens": 7}),
        ({"password": ""}, {"password": "***"}),
        ({"tokens": []}, {"tokens": "***"}),
    ],
)
def test_a_value_becomes(value: Any, redacted: object) -> None:
    assert redact(value) == redacted
    assert type(redact(value)) is type(redacted)


@pytest.mark.parametrize(
    "value", [None, True, 1.5, Decimal("1.10"), UUID(int=1), datetime(2026, 11, 20, tzinfo=UTC), Level.HIGH]
)
def test_a_scalar_stays_itself(value: object) -> None:
    assert redact(value) is value


def test_personal_data_is_also_addresses_and_what_one_looks_for() -> None:
    assert redact_pii("ada@example.com, 415-555-2671, 123-45-6789, 10.0.0.1") == "[EMAIL], [PHONE], [SSN], [IP]"
    assert redact_pii({"at": ["::1", "ORD-7"]}, custom={"order": r"ORD-\d"}) == {"at": ["[IP]", "[ORDER]"]}
    assert redact("10.0.0.1") == "10.0.0.1"


@pytest.mark.parametrize(
    "text", ["300.1.1.1", "1.2.3", "1.2.3.4.5", "v1.2.3.4", "12:01:02", "aa:bb:cc:dd:ee:ff", "std::dead", "a::b", "::"]
)
def test_what_only_looks_like_an_address_stays(text: str) -> None:
    assert redact_pii(text) == text


def test_ten_digits_are_no_telephone_number() -> None:
    assert redact_pii("order 4155552671 at 1764417600") == "order 4155552671 at 1764417600"


def test_a_wrong_pattern_is_an_error() -> None:
    with pytest.raises(RedactionError):
        redact_pii("x", custom={"order": "("})


def test_cycles_and_depth_are_texts() -> None:
    around: dict[str, Any] = {}
    around["again"] = [around]
    assert redact(around) == {"again": ["<cycle>"]}
    deep: Any = "x"
    for _ in range(500):
        deep = [deep]
    assert "too deep" in str(redact(deep))
    twice = ["a"]
    assert redact([twice, twice]) == [["a"], ["a"]]


values = st.recursive(
    st.none() | st.integers() | st.text() | st.binary() | st.just("ada@example.com"),
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.just("password"), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(value=values)
def test_the_callers_value_is_never_changed(value: Any) -> None:
    before = copy.deepcopy(value)
    redact_pii(value)
    assert value == before


@settings(deadline=None)
@given(value=values)
def test_redacting_twice_is_redacting_once(value: Any) -> None:
    once = redact_pii(value)
    assert redact_pii(once) == once


@settings(deadline=None)
@given(value=values, key=st.sampled_from(["password", "Api-Key", "SESSION_ID", "setCookie"]))
def test_whatever_is_under_a_secret_name_is_hidden_at_any_depth(value: Any, key: str) -> None:
    planted = [value, {"a": ({key: [CANARY, {"b": CANARY}]}, value)}]
    assert CANARY not in str(redact(planted))
