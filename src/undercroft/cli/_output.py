"""What commands print on stdout: one JSON value, or a table."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from itertools import zip_longest

from undercroft._core.codec import to_json
from undercroft.cli._report import has_color

_GAP = 2
_NARROWEST = 12
_COLORS = {"error": "\x1b[31m", "warning": "\x1b[33m"}
_RESET = "\x1b[0m"


def kept_for_json(as_json: bool) -> AbstractContextManager[object]:
    """Keep stdout for the JSON value: what the application prints in the block goes to stderr."""
    return redirect_stdout(sys.stderr) if as_json else nullcontext()


def print_json(value: object) -> None:
    """Print `value` as the one JSON value of this command."""
    import msgspec

    sys.stdout.write(msgspec.json.format(to_json(value), indent=2).decode() + "\n")


def shown_ms(value: float | None) -> str:
    """Write a latency for a table."""
    return "-" if value is None else f"{value:.1f} ms"


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table as wide as the terminal, 80 columns where there is none. Nothing is cut off: long cells wrap."""
    is_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if is_terminal or "COLUMNS" in os.environ else 80
    paint = _painted if has_color(is_terminal) else str.rstrip
    print("\n".join(table_lines(headers, rows, width=width, paint=paint)), flush=True)


def table_lines(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, width: int, paint: Callable[[str], str] = str.rstrip
) -> list[str]:
    """Return the lines of a table of at most `width` columns; the widest columns give way first.

    Args:
        paint: Called with every padded line.
    """
    cells = [list(headers), *(list(row) for row in rows)]
    widths = [max(_widest(row[column]) for row in cells) for column in range(len(headers))]
    while sum(widths) + _GAP * (len(widths) - 1) > width and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return [paint(line) for row in cells for line in _row_lines(row, widths)]


def _row_lines(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    wrapped = [_wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
    gap = " " * _GAP
    return [
        gap.join(part.ljust(width) for part, width in zip(parts, widths, strict=True))
        for parts in zip_longest(*wrapped, fillvalue="")
    ]


def _wrapped(cell: str, width: int) -> list[str]:
    return [part for line in cell.splitlines() for part in textwrap.wrap(line, width) or [""]] or [""]


def _widest(cell: str) -> int:
    return max(map(len, cell.splitlines()), default=0)


def _painted(line: str) -> str:
    first = line.partition(" ")[0]
    return line.rstrip() if first not in _COLORS else _COLORS[first] + first + _RESET + line[len(first) :].rstrip()
