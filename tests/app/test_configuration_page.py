"""The page on configuration says what `Settings` says, and `Settings` reads what it says."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from undercroft import Infra
from undercroft.app import Settings

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
SAID = re.compile(r"(?s)(?P<what>.*?) From (?P<names>.*?)\. Default (?P<default>.*)\.")
NAME = re.compile(r"`([A-Z_]+)`")


def said() -> dict[str, re.Match[str]]:
    """Return what the docstring of each field of `Settings` says."""
    (definition,) = ast.parse(inspect.getsource(Settings)).body
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, re.Match[str]] = {}
    for field, doc in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            assert isinstance(doc, ast.Expr)
            assert isinstance(doc.value, ast.Constant)
            match = SAID.fullmatch(" ".join(str(doc.value.value).split()))
            assert match, f"{field.target.id}: say 'What it is. From `NAME`, then `NAME`. Default `value`.'"
            found[field.target.id] = match
    return found


def rows() -> Iterator[str]:
    """Yield the rows that the page's table must have."""
    for field, match in said().items():
        yield f"| {match['names']} | `{field}` | {match['default']} | {match['what']} |"


def test_every_field_says_its_variables_and_its_default() -> None:
    assert list(said()) == [field.name for field in fields(Settings)]


def test_the_page_has_every_field_as_it_is_said() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    missing = [row for row in rows() if row not in lines]
    assert missing == []


def test_every_field_is_an_argument_of_infra() -> None:
    assert set(said()) <= set(inspect.signature(Infra).parameters)


class Recorded(dict[str, str]):
    """An environment that remembers what it was asked for."""

    asked: set[str]

    def get(self, key: str, default: str | None = None) -> str:  # type: ignore[override]  # as it is used
        self.asked.add(key)
        return super().get(key, default or "")


def test_what_is_read_is_what_is_said() -> None:
    environ = Recorded()
    environ.asked = set()
    Settings.read(environ)
    names = {name for match in said().values() for name in NAME.findall(match["names"])}
    assert environ.asked == names | {f"{name}_FILE" for name in names}


def test_defaults_are_what_is_said() -> None:
    settings = Settings.read({})
    for field, match in said().items():
        value = getattr(settings, field).value
        shown = re.match(r"`([^`]*)`", match["default"])
        text = (
            f"{value:g}{'s' if field.endswith('_timeout') else ''}"
            if isinstance(value, float)
            else ":".join(map(str, value))
            if isinstance(value, tuple)
            else value
        )
        assert (shown and shown[1]) == (None if value is None else str(text)), field
