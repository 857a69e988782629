"""What redaction finds in a text, it finds in a line: message, field, context, argument, error, and beside others."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from tests.logging.redaction._harmless import HARMLESS
from tests.logging.redaction._secrets import NAMED, SHAPED
from undercroft.logging import NO_REDACTION, Logger, Redaction, Secret, log_context, logger, redact_text

SetUp = Callable[..., Any]
EACH = 10


def planted(kind: str) -> list[tuple[str, str]]:
    """Return texts of this kind, each with the secret that is in it."""
    random = Random(kind)
    if kind in NAMED:
        return [tuple(NAMED[kind](random)) for _ in range(EACH)]  # type: ignore[misc]
    return [(secret, secret) for secret in (SHAPED[kind](random) for _ in range(EACH))]


def log_everywhere(text: str) -> None:
    logger.info(text)
    logger.info("x", value=text)
    logger.info("x", before="ada", value=text, after="/orders/7")
    logger.info("12345", value=text, number=12345)
    logger.info("x", nested={"list": [text]})
    Logger({"value": text}).info("x")
    with log_context(value=text):
        logger.info("x")
    logger.error("x", ValueError(text))
    logging.getLogger("theirs").warning("got %s", text)
    logging.getLogger("theirs").warning("x", extra={"value": text})


@pytest.mark.parametrize("kind", [*SHAPED, *NAMED])
def test_a_secret_that_redaction_finds_is_in_no_line(kind: str, log_as: SetUp, lines: Any) -> None:
    log_as()
    for text, secret in planted(kind):
        log_everywhere(text)
        assert secret not in lines.getvalue()
        assert json.dumps(secret)[1:-1] not in lines.getvalue()
    assert len(lines.written) == 10 * EACH


@pytest.mark.parametrize("kind", HARMLESS)
def test_a_harmless_text_comes_back_from_a_line(kind: str, log_as: SetUp, lines: Any) -> None:
    log_as()
    random = Random(kind)
    texts = [text for text in (HARMLESS[kind](random) for _ in range(EACH)) if len(text) <= 8_192]
    for text in texts:
        logger.info(text, value=text, other="x")
    assert [(line["message"], line["value"]) for line in lines.objects] == [(text, text) for text in texts]


def test_a_text_is_redacted_alike_alone_and_in_a_line(log_as: SetUp, lines: Any) -> None:
    """Several values are looked through at once; that must neither find less nor change the others."""
    log_as()
    random = Random("mixed")
    kinds = [*SHAPED.values(), *(lambda random, kind=kind: kind(random).text for kind in NAMED.values())]
    kinds += [*HARMLESS.values()] * 3
    for _ in range(500):
        texts = {f"value_{'abcdefgh'[n]}": random.choice(kinds)(random) for n in range(random.randint(1, 6))}
        logger.info("x", texts)
        line = lines.objects[-1]
        assert {name: line[name] for name in texts} == {name: redact_text(text) for name, text in texts.items()}
        lines.seek(0)
        lines.truncate()


def test_a_card_number_that_is_an_integer_is_hidden_and_other_integers_stay(log_as: SetUp, lines: Any) -> None:
    log_as()
    others = {"created_ns": 1_763_640_062_345_678_901, "created_ms": 1_763_640_062_345, "id": 2**63, "small": -5}
    logger.info("x", others, number=4_111_111_111_111_111)
    logger.info("x", nested=[4_111_111_111_111_111, *others.values()])
    first, second = lines.objects
    assert first["number"] == second["nested"][0] == "[CARD]"
    assert {name: first[name] for name in others} == others
    assert second["nested"][1:] == list(others.values())


def test_a_secret_value_is_hidden_wherever_it_is(log_as: SetUp, lines: Any) -> None:
    log_as()
    secret = Secret("kanarienvogel")
    logger.info("x", value=secret, nested=[{"a": secret}])
    logger.info(f"{secret}")
    assert (lines.objects[0]["value"], lines.objects[0]["nested"]) == ("***", [{"a": "***"}])
    assert "kanarienvogel" not in lines.getvalue()


def test_an_applications_rules_hold_for_simple_and_for_nested_values(log_as: SetUp, lines: Any) -> None:
    log_as(redaction=Redaction(keys=["pesel"], allow=["token_id"], patterns={"order": r"ORD-\d+"}))
    logger.info("got ORD-123", pesel="44051401359", token_id="t-1", value="ORD-9")
    logger.info("x", nested={"pesel": "44051401359", "token_id": "t-1", "value": "ORD-9"})
    logging.getLogger("theirs").warning("got %s", "ORD-5", extra={"pesel": "44051401359"})
    simple, nested, theirs = lines.objects
    assert simple["message"] == "got [ORDER]"
    shown = {"pesel": "***", "token_id": "t-1", "value": "[ORDER]"}
    assert {name: simple[name] for name in shown} == nested["nested"] == shown
    assert (theirs["message"], theirs["pesel"]) == ("got [ORDER]", "***")


def test_nothing_is_hidden_when_that_was_said_aloud(log_as: SetUp, lines: Any) -> None:
    log_as(redaction=NO_REDACTION)
    logger.info("see redis://u:p@h/0", password="pa55", nested={"token": "t"}, text="\ud800")
    line = lines.objects[0]
    assert (line["message"], line["password"], line["nested"]) == ("see redis://u:p@h/0", "pa55", {"token": "t"})
    assert line["text"] == "\\ud800"


def test_a_later_setup_hides_by_its_own_rules(log_as: SetUp, lines: Any) -> None:
    log_as(redaction=NO_REDACTION)
    logger.info("x", nested={"password": "pa55"})
    log_as()
    logger.info("x", nested={"password": "pa55"})
    assert [line["nested"]["password"] for line in lines.objects] == ["pa55", "***"]
