"""A secret that does not show itself, wherever it is put."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import traceback

import msgspec
import pytest

from undercroft.logging import Secret, SecretError, decode_secret, redact

CANARY = "kanarienvogel"


@dataclasses.dataclass(frozen=True)
class Settings:
    host: str
    password: Secret[str]


class Model(msgspec.Struct):
    host: str
    password: Secret[str]


@pytest.mark.parametrize(
    "show",
    [repr, str, format, "{:>20}".format, "%s".__mod__, "{0!r}".format, lambda secret: f"{secret} {secret!s} {secret!r}",
     lambda secret: repr([secret]), lambda secret: repr({"a": secret}), lambda secret: repr(Settings("h", secret)),
     lambda secret: repr(Model("h", secret)), lambda secret: repr(dataclasses.asdict(Settings("h", secret))), redact],
)  # fmt: skip
def test_a_secret_never_shows_itself(show: object) -> None:
    shown = show(Secret(CANARY))  # type: ignore[operator]
    assert CANARY not in shown
    assert "***" in shown


def test_a_secret_is_revealed_on_request() -> None:
    assert Secret(CANARY).reveal() == CANARY
    assert Secret(b"x").reveal() == b"x"


def test_equal_secrets_are_equal_and_hash_alike() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("\ud800é") == Secret("\ud800é")
    assert Secret(b"a") != Secret("a")
    assert Secret([1]) == Secret([1])
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_a_secret_is_not_its_bare_value() -> None:
    assert Secret("a") != "a"
    assert hash(Secret("a")) != hash("a")


def test_a_secret_is_true_if_there_is_one() -> None:
    assert Secret("a")
    assert not Secret("")


def test_a_secret_cannot_be_changed() -> None:
    secret = Secret("a")
    with pytest.raises(AttributeError):
        secret._hidden = "b"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del secret._hidden
    assert not hasattr(secret, "__dict__")
    assert copy.copy(secret) is secret
    assert copy.deepcopy({"a": secret})["a"] is secret


def test_a_secret_is_not_written_by_accident() -> None:
    with pytest.raises(SecretError, match="UC1151"):
        pickle.dumps({"a": Secret(CANARY)})
    for encode in (json.dumps, msgspec.json.encode, msgspec.msgpack.encode):
        with pytest.raises(TypeError) as caught:
            encode(Secret(CANARY))  # type: ignore[operator]
        assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_a_secret_in_a_secret_is_a_mistake() -> None:
    with pytest.raises(SecretError, match="reveal"):
        Secret(Secret("a"))


def test_msgspec_makes_secrets_with_the_hook() -> None:
    data = b'{"host": "h", "password": "kanarienvogel"}'
    model = msgspec.json.decode(data, type=Model, dec_hook=decode_secret)
    assert model.password == Secret(CANARY)
    assert msgspec.convert({"host": "h", "password": "x"}, Model, dec_hook=decode_secret).password == Secret("x")


def test_msgspec_says_where_a_secret_is_none_and_not_what_it_was() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"\$\.password") as caught:
        msgspec.json.decode(b'{"host": "h", "password": 4711}', type=Model, dec_hook=decode_secret)
    assert "4711" not in str(caught.value)
    with pytest.raises(SecretError):
        decode_secret(complex, 1)
