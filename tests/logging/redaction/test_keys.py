"""Which names say that their value is a secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.logging import Redaction, RedactionError, redact
from undercroft.logging._redact import Redactor, is_secret

SECRET = [
    "password", "PASSWORD", "user_password", "passwd", "db_pass", "smtpPass", "MYSQL_PWD", "pwd", "passphrase",
    "secret", "client-secret", "clientSecret", "token", "accessToken", "refresh_token", "X-CSRF-Token", "csrf",
    "Authorization", "proxy-authorization", "auth", "basic_auth", "Cookie", "set-cookie", "cookies", "session",
    "session_id", "sessionId", "connect.sid", "apiKey", "API_KEY", "API KEY", "x-api-key", "access_key",
    "private-key", "AccountKey", "signing_key", "Ocp-Apim-Subscription-Key", "credentials", "X-Amz-Signature", "sig",
    "X-Amz-Credential", "otp", "pin", "cvc", "card_cvv", "ssn", "jwt", "creditCard", "card_number", "seed_phrase",
    "recovery-code", "SENTRY_DSN", "connectionString", "passwort", "mot_de_passe", "contraseña",
    "\uff50\uff41\uff53\uff53\uff57\uff4f\uff52\uff44",
    "user[password]", "spring.datasource.password", "password2", "token_id",
]  # fmt: skip
HARMLESS = [
    "author", "authority", "order_id", "user_id", "key", "keyboard", "monkey", "public_key", "pinned", "pass_rate",
    "passenger", "compass", "spin", "tokenizer", "secretary", "token_type", "token_url", "password_policy",
    "session_duration", "cookie_name", "secret_version", "signature_algorithm", "assigned", "design", "signal",
    "path", "status", "email", "", "_", "é", "日本",
]  # fmt: skip


@pytest.mark.parametrize("key", SECRET)
def test_a_name_says_secret_in_any_spelling(key: str) -> None:
    assert is_secret(key, "x")
    assert is_secret(key.upper(), "x")


@pytest.mark.parametrize("key", HARMLESS)
def test_a_name_that_only_sounds_like_it_says_nothing(key: str) -> None:
    assert not is_secret(key, "x")


@pytest.mark.parametrize("value", [None, True, False])
def test_what_hides_nothing_is_shown(value: object) -> None:
    assert not is_secret("password", value)


def test_numbers_are_shown_under_a_name_that_counts_only() -> None:
    assert not is_secret("max_tokens", 4096)
    assert not is_secret("session_count", 3)
    assert is_secret("tokens", "abc")
    assert is_secret("token", 4096)


@given(key=st.text())
def test_any_name_gets_an_answer_and_always_the_same(key: str) -> None:
    assert is_secret(key, "x") == is_secret(key, "x")


def test_a_name_without_end_is_judged_by_its_end() -> None:
    assert is_secret("x" * 100_000 + "_password", "x")


def test_an_application_adds_names() -> None:
    rules = Redactor(Redaction(keys=["Customer Name", "*_private", "acme*"]))
    for key in ("customer_name", "customerName", "CUSTOMER-NAME", "notes_private", "notesPrivate", "acme", "ACME_ID"):
        assert rules.is_secret(key, "x")
    for key in ("customer_names", "private_notes", "the_acme"):
        assert not rules.is_secret(key, "x")
    assert rules.text("customer_name=ada acme: 7b") == "customer_name=*** acme: ***"


def test_an_application_takes_names_away_but_their_values_are_looked_through() -> None:
    rules = Redactor(Redaction(allow=["session_id", "*_token_hash"], keys=["session*"]))
    assert not rules.is_secret("sessionId", "x")
    assert not rules.is_secret("csrf_token_hash", "x")
    assert rules.is_secret("session", "x")
    assert redact({"session_id": "ada@example.com"}, Redaction(allow=["session_id"])) == {"session_id": "[EMAIL]"}


def test_an_applications_patterns_become_their_name() -> None:
    rules = Redactor(Redaction(patterns={"order": r"ORD-\d+", "iccid": r"\b89\d{17}\b"}))
    assert rules.text("ORD-7 for sim 8949012345678901234, ada@example.com") == "[ORDER] for sim [ICCID], [EMAIL]"


def test_kinds_can_be_shown_and_addresses_hidden() -> None:
    text = "ada@example.com from 10.0.0.1 or fe80::1 with sk_live_abcdefgh1234"
    assert Redactor(Redaction(show=["email", "key"])).text(text) == text
    assert Redactor(Redaction(hide_ips=True)).text(text) == "[EMAIL] from [IP] or [IP] with [KEY]"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"show": ["emails"]}, "email"),
        ({"show": "email"}, "collection"),
        ({"keys": "password"}, "collection"),
        ({"keys": [""]}, "not a name"),
        ({"keys": ["*"]}, "not a name"),
        ({"allow": ["-"]}, "not a name"),
        ({"patterns": {"a b": "x"}}, "not a name"),
        ({"patterns": {"order": "("}}, "does not compile"),
        ({"patterns": {"order": "x*"}}, "empty text"),
    ],
)
def test_a_wrong_setting_is_an_error_that_says_which(settings: dict[str, object], said: str) -> None:
    with pytest.raises(RedactionError, match=said) as caught:
        Redaction(**settings)  # type: ignore[arg-type]
    assert caught.value.code == "UC1150"


def test_settings_are_values() -> None:
    one = Redaction(keys=["a"], patterns={"order": "x"})
    assert one == Redaction(keys=["a"], patterns={"order": "x"})
    with pytest.raises(AttributeError):
        one.keys = ["b"]  # type: ignore[misc]
