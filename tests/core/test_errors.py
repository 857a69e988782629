"""The root error: what a caller can read from it, and how it looks."""

from __future__ import annotations

import copy
import pickle

import pytest

from undercroft._core.errors import (
    CloseTimeoutError,
    ConfigError,
    InvalidDataError,
    InvalidSettingsError,
    Kind,
    MissingExtraError,
    NotBoundError,
    NotOpenError,
    UndercroftError,
    near_names,
)

EVERY_ERROR = [
    UndercroftError("it broke", hint="mend it", near=["a", "b"], retry_after=2.5),
    ConfigError("it broke"),
    MissingExtraError("it broke"),
    NotBoundError("it broke"),
    NotOpenError("it broke"),
    CloseTimeoutError("it broke"),
    InvalidDataError("it broke"),
    InvalidSettingsError([ConfigError("one", hint="first"), ConfigError("two")]),
]
each_error = pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda error: type(error).__name__)


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (ConfigError, ValueError),
        (MissingExtraError, ImportError),
        (NotBoundError, LookupError),
        (NotOpenError, RuntimeError),
        (InvalidDataError, ValueError),
        (CloseTimeoutError, TimeoutError),
    ],
)
def test_error_is_also_the_builtin_that_callers_expect(error: type[UndercroftError], builtin: type[Exception]) -> None:
    with pytest.raises(builtin):
        raise error("it broke")


def test_text_is_the_code_and_the_message() -> None:
    assert str(ConfigError("the port is wrong")) == "UC0201 the port is wrong"


def test_near_names_and_hint_have_a_line_each() -> None:
    error = ConfigError("unknown option 'pol_s'", near=["poll_s", "pool_s"], hint="known options: poll_s, pool_s")

    assert str(error).splitlines() == [
        "UC0201 unknown option 'pol_s'",
        "  near: poll_s, pool_s",
        "  do:   known options: poll_s, pool_s",
    ]


def test_data_is_in_attributes_and_not_only_in_the_text() -> None:
    error = UndercroftError("it broke", hint="mend it", near=["a"], retry_after=2.5)

    assert (error.message, error.hint, error.near, error.retry_after) == ("it broke", "mend it", ("a",), 2.5)


def test_settings_error_shows_every_problem_in_order() -> None:
    error = InvalidSettingsError([ConfigError("one", hint="first"), ConfigError("two")])

    assert str(error).splitlines() == [
        "UC0200 2 problems in the configuration",
        "- UC0201 one",
        "  do:   first",
        "- UC0201 two",
    ]


def test_settings_error_counts_a_single_problem_in_the_singular() -> None:
    assert str(InvalidSettingsError([ConfigError("one")])).startswith("UC0200 1 problem in the configuration")


def test_codes_are_unique() -> None:
    codes = [type(error).code for error in EVERY_ERROR]

    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        (ConfigError, Kind.MISUSE, 500),
        (NotOpenError, Kind.MISUSE, 500),
        (InvalidDataError, Kind.REFUSED, 422),
        (CloseTimeoutError, Kind.UNAVAILABLE, 500),
    ],
)
def test_kind_says_what_a_caller_can_do(error: type[UndercroftError], kind: Kind, status: int) -> None:
    assert (error.kind, error.http_status) == (kind, status)


@each_error
def test_error_survives_pickling_between_processes(error: UndercroftError) -> None:
    back = pickle.loads(pickle.dumps(error))

    assert (type(back), str(back), back.near, back.retry_after) == (
        type(error),
        str(error),
        error.near,
        error.retry_after,
    )


@each_error
def test_error_survives_copying(error: UndercroftError) -> None:
    assert str(copy.copy(error)) == str(error)


def test_near_names_are_the_nearest_first() -> None:
    assert near_names("enqueu", ["dequeue", "enqueue", "email"]) == ["enqueue", "dequeue"]


def test_near_names_ignore_case_and_keep_the_known_spelling() -> None:
    assert near_names("redis_url", ["REDIS_URL"]) == ["REDIS_URL"]


def test_near_names_of_something_else_are_none() -> None:
    assert near_names("zzzzzz", ["poll_s", "synchronous"]) == []


def test_near_names_are_at_most_the_limit() -> None:
    assert len(near_names("name", ["name1", "name2", "name3", "name4"], limit=2)) == 2
