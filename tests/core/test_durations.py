"""The one parser for durations."""

from __future__ import annotations

import math
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft._core.durations import DurationError, format_seconds, to_seconds
from undercroft._core.errors import ConfigError

UNITS = {"ms": Decimal("0.001"), "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
terms = st.tuples(
    st.decimals(min_value=0, max_value=100_000, places=3, allow_nan=False, allow_infinity=False),
    st.sampled_from(sorted(UNITS)),
)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0.0),
        (30, 30.0),
        (0.5, 0.5),
        (timedelta(minutes=2, microseconds=1), 120.000001),
        ("30", 30.0),
        ("0.5", 0.5),
        ("500ms", 0.5),
        ("35ms", 0.035),
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("24h", 86400.0),
        ("7d", 604800.0),
        ("2w", 1209600.0),
        ("1.5h", 5400.0),
        ("  1H 30 M ", 5400.0),
    ],
)
def test_duration_is_read_as_seconds(value: float | str | timedelta, seconds: float) -> None:
    assert to_seconds(value) == seconds


def test_seconds_are_a_float() -> None:
    assert type(to_seconds(30)) is float


@given(st.lists(terms, min_size=1, max_size=4))
def test_text_is_the_sum_of_its_terms(parts: list[tuple[Decimal, str]]) -> None:
    text = "".join(f"{number:f}{unit}" for number, unit in parts)

    assert to_seconds(text) == float(sum(number * UNITS[unit] for number, unit in parts))


@given(st.floats(min_value=0, allow_nan=False, allow_infinity=False))
def test_number_of_seconds_stays_what_it_is(seconds: float) -> None:
    assert to_seconds(seconds) == seconds


@given(st.integers(min_value=0, max_value=10**12))
def test_formatted_whole_seconds_are_read_back_exactly(seconds: int) -> None:
    assert to_seconds(format_seconds(seconds)) == seconds


@given(st.integers(min_value=0, max_value=999))
def test_formatted_milliseconds_are_read_back_exactly(milliseconds: int) -> None:
    assert to_seconds(format_seconds(milliseconds / 1000)) == milliseconds / 1000


@given(st.floats(min_value=0, max_value=1e12))
def test_formatted_seconds_are_read_back_within_the_documented_rounding(seconds: float) -> None:
    rounding = 0.0005 if seconds < 1 else 0.00005 if seconds < 60 else 0.5

    assert to_seconds(format_seconds(seconds)) == pytest.approx(seconds, rel=1e-12, abs=rounding * 1.000001)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.25, "250ms"), (1, "1s"), (1.5, "1.5s"), (60, "1m"), (5400, "1h30m"), (90061, "1d1h1m1s")],
)
def test_seconds_are_written_for_people(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


BAD = [
    -1,
    -0.001,
    math.nan,
    math.inf,
    timedelta(seconds=-1),
    True,
    None,
    Decimal(5),
    [5],
    b"5s",
    10**400,
    10**5000,
    "",
    " ",
    "s",
    "-5s",
    "+5",
    "5 minutes",
    "5x",
    "5sec",
    "1h-30m",
    "1 5m",
    "5 m s",
    "1,5s",
    ".5s",
    "5.s",
    "1e3s",
    "nan",
    "inf",
    "٣s",
    "5s\n6s",
    "9" * 400,
    "9" * 400 + "w",
]
each_bad = pytest.mark.parametrize("value", BAD, ids=lambda value: str(type(value).__name__))


@each_bad
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(DurationError):
        to_seconds(value)  # type: ignore[arg-type]


@each_bad
def test_error_names_what_the_value_is_for(value: object) -> None:
    with pytest.raises(DurationError, match=r"^UC0101 ttl "):
        to_seconds(value, name="ttl")  # type: ignore[arg-type]


@given(
    st.one_of(
        st.text(),
        st.text(alphabet="0123456789.smhdw- "),
        st.integers(),
        st.floats(),
        st.timedeltas(),
        st.binary(),
        st.none(),
    )
)
def test_every_input_gives_a_finite_duration_or_an_error_with_the_value(value: object) -> None:
    error: DurationError | None = None
    seconds = 0.0
    try:
        seconds = to_seconds(value)  # type: ignore[arg-type]
    except DurationError as exc:
        error = exc

    assert math.isfinite(seconds)
    assert seconds >= 0
    assert error is None or repr(value) in error.message


def test_error_shows_how_to_write_a_duration() -> None:
    with pytest.raises(DurationError, match=r'do:   give seconds .* "1h30m"'):
        to_seconds("soon")


def test_error_is_an_error_of_configuration() -> None:
    assert issubclass(DurationError, ConfigError)
