"""Tables, which fit, and JSON, which is alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.cli._output import table_lines
from undercroft.cli._report import has_color

CELLS = st.text(alphabet="ab -/.", max_size=60)


def test_columns_are_as_wide_as_they_must_be() -> None:
    assert table_lines(("a", "name"), [("1", "x"), ("22", "y")], width=80) == ["a   name", "1   x", "22  y"]


def test_long_cell_wraps_and_loses_nothing() -> None:
    words = " ".join(f"word{number}" for number in range(30))
    lines = table_lines(("part", "finding"), [("queue", words)], width=40)
    assert all(len(line) <= 40 for line in lines)
    assert " ".join(" ".join(lines[1:]).split()).removeprefix("queue ") == words


def test_line_breaks_in_a_cell_are_kept() -> None:
    assert table_lines(("a", "b"), [("x", "one\ntwo")], width=80) == ["a  b", "x  one", "   two"]


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=5))
def test_every_table_fits_80_columns(rows: list[tuple[str, str, str]]) -> None:
    assert all(len(line) <= 80 for line in table_lines(("one", "two", "three"), rows, width=80))


def test_no_color_without_a_terminal() -> None:
    assert has_color(False) is False


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert has_color(True) is True
    monkeypatch.setenv("NO_COLOR", "1")
    assert has_color(True) is False
