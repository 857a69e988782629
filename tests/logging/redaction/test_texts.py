"""What each secret becomes, and the properties that hold for any text."""

from __future__ import annotations

import sys
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.logging.redaction._secrets import SHAPED
from undercroft.logging import redact_text
from undercroft.logging._redact import Redactor

in_its_own_time = settings(deadline=None)  # a busy machine is no failure


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("paid with 4111 1111 1111 1111, cvc 123", "paid with [CARD], cvc 123"),
        ("4111 1111 1111 1111 123", "[CARD] 123"),
        ("user 42 4111 1111 1111 1111 12/28", "user 42 [CARD] 12/28"),
        ("4242 4111 1111 1111 1111", "4242 [CARD]"),
        ("378282246310005", "[CARD]"),
        ("to DE89 3704 0044 0532 0130 00 EUR", "to [IBAN] EUR"),
        ("gb29nwbk60161331926819", "[IBAN]"),
        ("ada@example.com wrote", "[EMAIL] wrote"),
        ("<ada+shop@mail.example.co.uk>", "<[EMAIL]>"),
        ("mailto=ada%40example.com&x", "mailto=[EMAIL]&x"),
        ("call +49 (0)30 901820 now", "call [PHONE] now"),
        ("call +1 (415) 555-2671", "call [PHONE]"),
        ("+1 415 555 2671 12 items", "[PHONE] 12 items"),
        ("tel=%2B4915112345678", "tel=[PHONE]"),
        ("ring +33 6 12 34 56 78 or +47 22 12 34 56", "ring [PHONE] or [PHONE]"),
        ("(415) 555-2671 or 415.555.2671", "[PHONE] or [PHONE]"),
        ("123-45-6789", "[SSN]"),
        ("key sk_live_abcdefgh1234 used", "key [KEY] used"),
        ("x%3Dsk_live_abcdefgh1234", "x%3D[KEY]"),
        ("redis://:pa55@cache:6379/0", "redis://***@cache:6379/0"),
        ("https://user@host/", "https://***@host/"),
        ("postgres://token:abc@db/shop", "postgres://***@db/shop"),
        ("root:pw@tcp(db:3306)/x", "***@tcp(db:3306)/x"),
        ("?token=abc&api_key=def&page=2#top", "?token=***&api_key=***&page=2#top"),
        ('{"password": "a\\"b", "n": 1}', '{"password": "***", "n": 1}'),
        ("password=a,b;c d", "password=*** d"),
        ("f(password=abc), g(n=1)", "f(password=***), g(n=1)"),
        ("tokens=['a', {'b': 'c'}] n=1", "tokens=*** n=1"),
        ("Authorization: Bearer abcdef123 (cached)", "Authorization: *** (cached)"),
        ("authorization: denied for ada", "authorization: denied for ada"),
        ("Cookie: a=b; c=d\nHost: x", "Cookie: ***\nHost: x"),
        ("('cookie', 'a=b')", "('cookie', '***')"),
        ("--password abc --port 80", "--password *** --port 80"),
        ("<apiKey>abc</apiKey>", "<apiKey>***</apiKey>"),
        ("the API key: abc1", "the API key: ***"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nnext", "[PEM]\nnext"),
        ("token = 'cut off in the mid", "token = '***"),
    ],
)
def test_a_secret_becomes(text: str, redacted: str) -> None:
    assert redact_text(text) == redacted
    assert redact_text(redacted) == redacted


def test_a_text_without_secrets_is_returned_itself() -> None:
    text = "order 7 was paid"
    assert redact_text(text) is text


# Of pieces that begin, join and end secrets, since random letters hardly ever do.
PIECES = [
    "password", "token", "api_key", "Cookie", "Authorization", "Bearer ", "Basic ", "session", "key", "=", ":", ": ",
    " = ", "%3D", "%40", "%2B", "@", "@tcp(", "://", "//", "/", "?", "&", "#", ",", ";", ".", "-", "--", "_", "'",
    '"', '\\"', "\\", "(", ")", "[", "]", "{", "}", "<", ">", "</", " ", "\t", "\n", "***", "[JWT]", "[CARD]",
    "[SSN]", "eyJ", "eyJhbGciOiJIUzI1", "sk_live_", "AKIA", "ghp_", "SG.", "4111", "1111", "4111111111111111",
    "123-45-6789", "415-555-2671", "+49", "151", "12345678", "DE89", "3704 0044 0532 0130 00", "ada", "example.com",
    "a", "Z", "0", "é", "\ud800", "None", "is", "expired", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----",
    "10.0.0.1", "::1",
]  # fmt: skip
pieces = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)


def thoroughly(redactor: Redactor, text: str) -> str:
    """Return what all searches together find, without the look that comes before them."""
    for _, step in [*redactor._steps, *redactor._number_steps]:
        text = step(text)
    return text


@settings(max_examples=1_000, deadline=None)
@given(text=pieces | st.text())
@example("[JWT]: foo")
@example("password=***")
def test_redacting_twice_is_redacting_once(text: str) -> None:
    once = redact_text(text)
    assert redact_text(once) == once


@settings(max_examples=1_000, deadline=None)
@given(text=pieces | st.text())
def test_the_cheap_look_lets_nothing_pass_that_a_search_would_find(text: str) -> None:
    assert redact_text(text) == thoroughly(Redactor(), text)


@pytest.mark.parametrize("kind", SHAPED)
def test_the_cheap_look_finds_each_shape_alone(kind: str) -> None:
    random, redactor = Random(kind), Redactor()
    for _ in range(200):
        text = SHAPED[kind](random)
        assert redact_text(text) == thoroughly(redactor, text)


@in_its_own_time
@given(before=pieces, after=pieces)
def test_nothing_around_it_keeps_a_card_from_being_hidden(before: str, after: str) -> None:
    assert "5555555555554444" not in redact_text(f"{before} 5555555555554444 {after}")


@in_its_own_time
@given(before=pieces, after=pieces)
def test_nothing_around_it_keeps_an_api_key_from_being_hidden(before: str, after: str) -> None:
    assert "sk_live_kanarienvogel" not in redact_text(f"{before} sk_live_kanarienvogel {after}")


@in_its_own_time
@given(before=pieces, after=pieces)
def test_nothing_around_it_keeps_a_password_from_being_hidden(before: str, after: str) -> None:
    assert "kanarienvogel" not in redact_text(f"{before} password=kanarienvogel7 {after}")


# Each of these is repeated to a length: what makes careless searches look at the same place again and again.
HOSTILE = {
    "digits": "4", "groups of digits": "4111 ", "groups with dashes": "4111-", "digits and dots": "1.", "dashes": "-",
    "at": "@", "addresses": "a@", "addresses with dots": "a.", "an address without end": "a@b.", "percent": "%40",
    "letters": "a", "capitals": "A", "blanks": " ", "urls": "://", "urls in urls": "http://a?b=",
    "users in urls": "://a:", "users": "://a:b@", "go addresses": "a@tcp(", "equals": "=", "names": "a=",
    "colons": ":", "names with blanks": "a ", "secret names": "token=", "secret names, quoted": 'token="',
    "secret names with brackets": "token=[", "backslashes": "\\", "escaped quotes": '\\"', "quotes": '"',
    "brackets": "([", "tags": "<a>", "secret tags": "<token>", "tuples": "('a', '", "flags": "--token ", "jwt": "eyJ",
    "jwt parts": "eyJhbGci.", "pem begins": "-----BEGIN PRIVATE KEY-----", "pem ends": "-----END PRIVATE KEY-----",
    "pem bodies": "MIIE\n", "bearers": "Bearer ", "bearer": "bearer", "api keys": "sk_live_", "key ends": "_-.zIK",
    "iban": "DE89", "iban in groups": "DE89 ", "ssn": "123-45-", "phones": "+49 ", "plus": "+",
    "brackets and digits": "(415) ", "hexadecimal": "a1", "colons and hexadecimal": "a:", "hooks": "hooks.slack.com/",
    "surrogates": "\ud800", "emoji": "✅",
}  # fmt: skip


def steps(text: str) -> int:
    """Return about how much work it is to redact `text`: nanoseconds of this thread, the least of three."""
    import time

    def once() -> int:
        started = time.thread_time_ns()
        redact_text(text)
        return time.thread_time_ns() - started

    return min(once() for _ in range(3))


@pytest.mark.parametrize("kind", HOSTILE)
def test_ten_times_the_text_is_about_ten_times_the_work(kind: str) -> None:
    unit = HOSTILE[kind]
    short = unit * (20_000 // len(unit))
    assert steps(short * 10) <= 20 * steps(short) + 2_000_000


@pytest.mark.parametrize(
    "kind", ["digits", "letters", "users in urls", "secret names", "addresses with dots", "pem ends"]
)
def test_a_megabyte_is_done_in_seconds(kind: str) -> None:
    unit = HOSTILE[kind]
    assert steps(unit * (1_000_000 // len(unit))) < 10_000_000_000


def test_a_text_of_any_length_needs_no_recursion() -> None:
    deep = "token=" + "[" * 10 * sys.getrecursionlimit()
    assert redact_text(deep) == "token=***"
