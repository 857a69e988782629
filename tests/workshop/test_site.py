"""The documents' site: every page can be reached from the navigation, and nothing in it is missing."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
INDEX = DOCS / "decisions" / "index.md"


def _pages(nav: list[dict[str, Any]]) -> Iterator[str]:
    for entry in nav:
        for value in entry.values():
            yield from _pages(value) if isinstance(value, list) else [value]


def _named() -> set[str]:
    return set(_pages(tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]))


def _written() -> set[str]:
    return {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}


def test_every_page_is_in_the_navigation() -> None:
    assert {page for page in _written() if not page.startswith("decisions/")} - _named() == set()


@pytest.mark.skipif(not (DOCS / "index.md").exists(), reason="the documents are not written yet")
def test_every_page_of_the_navigation_is_written() -> None:
    assert _named() - _written() == set()


@pytest.mark.skipif(not INDEX.exists(), reason="there is no list of decisions yet")
def test_every_decision_is_listed() -> None:
    text = INDEX.read_text(encoding="utf-8")
    assert [path.name for path in sorted(INDEX.parent.glob("*.md")) if path != INDEX and path.name not in text] == []
