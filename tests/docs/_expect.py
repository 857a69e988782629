"""Compare what a command printed with what the page shows."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

ANY_LINES = "..."
ANY_TEXT = "…"


def matches(expected: Sequence[str], actual: str, *, is_prefix: bool = False) -> bool:
    """Tell whether `actual` is what the page shows: `...` stands for any lines, `…` for anything within a line.

    Spaces at the ends of lines do not count, nor do empty lines before and after.

    Args:
        is_prefix: More output may follow; for a command that still runs.
    """
    pattern = "".join(map(_line_pattern, _trimmed(expected)))
    text = "".join(f"{line}\n" for line in _trimmed(actual.splitlines()))
    return re.fullmatch(pattern + (r"(?:.*\n)*" if is_prefix else ""), text) is not None


def difference(expected: Sequence[str], actual: str) -> str:
    """Return how the two differ, line by line."""
    shown = difflib.unified_diff(
        _trimmed(expected), _trimmed(actual.splitlines()), "page", "printed", lineterm="", n=99
    )
    return "\n".join(shown)


def _line_pattern(line: str) -> str:
    if line == ANY_LINES:
        return r"(?:.*\n)*?"
    return ".*?".join(map(re.escape, line.split(ANY_TEXT))) + r"[ \t]*\n"


def _trimmed(lines: Sequence[str]) -> list[str]:
    kept = [line.rstrip() for line in lines]
    while kept and not kept[0]:
        kept.pop(0)
    while kept and not kept[-1]:
        kept.pop()
    return kept
