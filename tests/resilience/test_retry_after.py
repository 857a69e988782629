"""`Retry-After`, as RFC 9110 has it and as services write it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.resilience import parse_retry_after, retry_after_of

NOW = datetime(1999, 12, 31, 23, 59, 29, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("120", 120),  # RFC 9110, 10.2.3
        ("Fri, 31 Dec 1999 23:59:59 GMT", 30),  # RFC 9110, 10.2.3
        ("Friday, 31-Dec-99 23:59:59 GMT", 30),  # RFC 9110, 5.6.7: the obsolete forms must be read
        ("Fri Dec 31 23:59:59 1999", 30),
        ("Fri, 31 Dec 1999 23:00:00 GMT", 0),  # has passed
        ("0", 0),
        (" 7 ", 7),
        (b"7", 7),
        ("1.5", 1.5),
        (7, 7),
        (0.25, 0.25),
        ("-1", None),
        (-1, None),
        ("", None),
        ("soon", None),
        ("1e3", None),
        ("inf", None),
        (float("nan"), None),
        ("99999999999999999999", None),
        ("Fri, 99 Dec 1999 23:59:59 GMT", None),
        (True, None),
        (None, None),
        ([], None),
    ],
)
def test_value_is_read(value: object, wait: float | None) -> None:
    assert parse_retry_after(value, now=lambda: NOW) == wait


@given(st.integers(0, 10**6))
def test_date_that_far_ahead_is_that_many_seconds(seconds: int) -> None:
    at = datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=seconds)
    assert parse_retry_after(format_datetime(at, usegmt=True), now=lambda: NOW) == seconds


@given(st.text() | st.binary())
def test_nothing_that_is_sent_makes_it_raise(value: str | bytes) -> None:
    wait = parse_retry_after(value, now=lambda: NOW)
    assert wait is None or wait >= 0


class _Error(Exception):
    response: object = None


@pytest.mark.parametrize("headers", [{"retry-after": "5"}, {"Retry-After": "5"}])
def test_response_of_an_error_is_looked_at(headers: dict[str, str]) -> None:
    error = _Error()
    error.response = type("Response", (), {"headers": headers})()
    assert retry_after_of(error) == 5


@pytest.mark.parametrize("response", [None, 5, type("Response", (), {"headers": 5})()])
def test_response_that_is_something_else_says_nothing(response: object) -> None:
    error = _Error()
    error.response = response
    assert retry_after_of(error) is None
