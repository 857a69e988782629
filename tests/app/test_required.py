"""What an application cannot do without: all that is missing at once, and only in production."""

from __future__ import annotations

import pytest

from undercroft.app import MissingVariablesError, validate_env

PRODUCTION = {"UNDERCROFT_ENV": "production"}
REQUIRED = ["DATABASE_URL", "REDIS_URL", ("RESEND_API_KEY", "SMTP_URL")]


def missing(**variables: str) -> tuple[str, ...]:
    with pytest.raises(MissingVariablesError) as caught:
        validate_env(REQUIRED, {**PRODUCTION, **variables})
    return caught.value.names


def test_everything_that_is_missing_is_named_at_once() -> None:
    assert missing() == ("DATABASE_URL", "REDIS_URL", "RESEND_API_KEY or SMTP_URL")


def test_the_message_names_them_and_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="missing environment variables: DATABASE_URL, REDIS_URL, RESEND") as caught:
        validate_env(REQUIRED, PRODUCTION)
    assert isinstance(caught.value, MissingVariablesError)
    assert (caught.value.code, "_FILE" in (caught.value.hint or "")) == ("UC0208", True)


@pytest.mark.parametrize("name", ["RESEND_API_KEY", "SMTP_URL"])
def test_one_of_a_tuple_is_enough(name: str) -> None:
    assert missing(**{name: "x"}) == ("DATABASE_URL", "REDIS_URL")


@pytest.mark.parametrize("blank", ["", " ", "\n"])
def test_a_blank_variable_is_missing(blank: str) -> None:
    assert missing(DATABASE_URL=blank, SMTP_URL="x") == ("DATABASE_URL", "REDIS_URL")


def test_a_file_is_as_good_as_the_variable() -> None:
    assert missing(DATABASE_URL_FILE="/run/secrets/db", SMTP_URL_FILE="/run/secrets/smtp") == ("REDIS_URL",)


def test_nothing_is_missing_when_all_is_there() -> None:
    assert validate_env(REQUIRED, {**PRODUCTION, "DATABASE_URL": "a", "REDIS_URL": "b", "SMTP_URL": "c"}) == ()


@pytest.mark.parametrize("env", [{}, {"UNDERCROFT_ENV": "development"}, {"UNDERCROFT_ENV": "test"}])
def test_outside_of_production_it_is_returned_and_not_raised(env: dict[str, str]) -> None:
    assert validate_env(REQUIRED, env) == ("DATABASE_URL", "REDIS_URL", "RESEND_API_KEY or SMTP_URL")


def test_the_process_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERCROFT_ENV", " Production ")
    with pytest.raises(MissingVariablesError):
        validate_env(["DATABASE_URL"])
    monkeypatch.setenv("DATABASE_URL", "x")
    assert validate_env(["DATABASE_URL"]) == ()
