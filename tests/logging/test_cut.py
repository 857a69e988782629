"""A text that is cut shows no half of a secret, also when what was hidden before it made the rest move up."""

from __future__ import annotations

import pytest

from undercroft.logging._plain import Conversion

PEM = "-----BEGIN PRIVATE KEY-----\n" + "QUJD" * 1500 + "\n-----END PRIVATE KEY-----"
URL = "redis://shop:hunter2hunter2"


def long_text(filler: int) -> str:
    """A text whose key shrinks to a placeholder, and whose URL is cut before its "@" by the room for it."""
    return PEM + " " + "x " * (filler // 2) + URL + "a" * 20_000 + "@cache:6379/0"


@pytest.mark.parametrize("filler", range(4_000, 7_000, 200))
def test_half_a_password_does_not_move_into_view(filler: int) -> None:
    assert "hunter2" not in Conversion().text(long_text(filler))


@pytest.mark.parametrize("filler", range(4_000, 7_000, 200))
def test_nor_from_the_other_end(filler: int) -> None:
    text = "redis://" + "a" * 20_000 + ":hunter2hunter2@cache " + "x " * (filler // 2) + PEM
    shown = Conversion().text(text, keep_end=True)
    assert "hunter2" not in shown


@pytest.mark.parametrize("wide", ["x", "é", "€", "😀"])
def test_bytes_are_cut_by_the_same_rule(wide: str) -> None:
    value = (PEM + wide * 3_000 + URL + "a" * 60_000 + "@cache").encode()
    assert "hunter2" not in str(Conversion().value(value))


def test_an_ordinary_long_text_is_cut_at_its_limit() -> None:
    shown = Conversion().text("word " * 10_000)
    assert shown.startswith("word word")
    assert len(shown) > 8_192
