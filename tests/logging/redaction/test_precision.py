"""What is found and what is left alone, over kinds of texts made from a seed; docs/redaction.md has the figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.logging.redaction._harmless import HARMLESS
from tests.logging.redaction._secrets import NAMED, SHAPED, Planted
from undercroft.logging import redact_text

PAGE = Path(__file__).parents[3] / "docs" / "redaction.md"
EACH = 50
PLACES = [
    "{}",
    "got {} from upstream",
    '{{"value": "{}"}}',
    "value='{}'",
    "({})",
    "{}, then more",
    "/path?value={}&n=1",
    "see {}.",
    "a\t{}\nb",
]


@pytest.mark.parametrize("kind", SHAPED)
def test_a_secret_of_a_known_shape_is_found_wherever_it_stands(kind: str) -> None:
    random = Random(kind)
    for _ in range(EACH):
        secret = SHAPED[kind](random)
        for place in PLACES:
            assert secret not in redact_text(place.format(secret)), place


@pytest.mark.parametrize("kind", NAMED)
def test_a_secret_beside_its_name_is_found(kind: str) -> None:
    random = Random(kind)
    for _ in range(EACH):
        text, secret = NAMED[kind](random)
        redacted = redact_text(text)
        assert secret not in redacted
        assert secret[-6:] not in redacted


@pytest.mark.parametrize("kind", HARMLESS)
def test_a_harmless_text_stays_as_it_is(kind: str) -> None:
    random = Random(kind)
    for _ in range(EACH):
        text = HARMLESS[kind](random)
        for place in PLACES:
            whole = place.format(text)
            assert redact_text(whole) == whole


@pytest.mark.parametrize("kind", [*SHAPED, *NAMED])
def test_redacting_twice_is_redacting_once(kind: str) -> None:
    random = Random(kind)
    makers: dict[str, Callable[[Random], Planted]] = {
        name: lambda random, make=make: Planted(make(random), "") for name, make in SHAPED.items()
    }
    for _ in range(EACH):
        once = redact_text((makers | NAMED)[kind](random).text)
        assert redact_text(once) == once


@pytest.mark.parametrize("kind", SHAPED)
def test_a_secret_does_not_hide_what_stands_before_and_after_it(kind: str) -> None:
    redacted = redact_text(f"order 7: {SHAPED[kind](Random(kind))} (from upstream)")
    # Where a private key was cut, blanks and words beside it may be part of it.
    assert redacted.startswith("order 7:" if kind == "private key without beginning" else "order 7: ")
    assert redacted.endswith("[PEM]" if kind == "private key without end" else "(from upstream)")


def test_the_published_figures_are_those_of_this_corpus() -> None:
    assert min(len(SHAPED), len(NAMED), len(HARMLESS)) >= 50
    page = PAGE.read_text(encoding="utf-8")
    assert f"{len(SHAPED)} kinds of secrets that have a shape" in page
    assert f"{len(NAMED)} kinds of places beside a name" in page
    assert f"{len(HARMLESS)} kinds of harmless texts" in page
    assert f"{EACH} of each kind" in page
    assert f"{len(PLACES)} surroundings" in page
