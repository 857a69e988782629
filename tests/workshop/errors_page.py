"""Writes docs/errors.md from the error classes: `python -m tests.workshop.errors_page`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import undercroft
from undercroft._core.errors import UndercroftError

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
SOURCE = Path(undercroft.__file__).parent

HEAD = """# Errors

Everything undercroft raises on purpose derives from `undercroft.UndercroftError`. An error has a stable `code`, a
`kind`, a `message` with the value that was seen (never a secret), `near` names where there are some, a `hint` that says
what to do, and `retry_after` where that is known. `undercroft explain UC1203` prints one with the functions that raise
it.

| kind | what you can do |
|---|---|
| misuse | fix the code or the configuration; a retry gives the same answer |
| unavailable | something outside did not answer; a retry may help |
| refused | the request was understood and denied: bad input, a limit, a conflict |

An HTTP edge answers with the status of the last column and a problem document (RFC 9457).

| code | error | module | kind | status | |
|---|---|---|---|---|---|
"""


def all_errors() -> list[type[UndercroftError]]:
    """Return every class with a code of its own, by code."""
    for path in SOURCE.rglob("*.py"):
        if 'code = "UC' in path.read_text(encoding="utf-8"):
            import_module(".".join(["undercroft", *path.relative_to(SOURCE).with_suffix("").parts]))
    declared = {error for error in _below(UndercroftError) if "code" in vars(error)}
    return sorted(declared, key=lambda error: error.code)


def expected() -> str:
    """Return the page's text."""
    return HEAD + "".join(map(_row, all_errors()))


def _below(error: type[UndercroftError]) -> Iterator[type[UndercroftError]]:
    for subclass in error.__subclasses__():
        if subclass.__module__.startswith("undercroft"):
            yield subclass
            yield from _below(subclass)


def _row(error: type[UndercroftError]) -> str:
    module = ".".join(part for part in error.__module__.split(".") if not part.startswith("_") or part == "_core")
    promise = (inspect.getdoc(error) or "").split("\n\n", maxsplit=1)[0].replace("\n", " ").replace("|", "\\|")
    return f"| `{error.code}` | `{error.__name__}` | {module} | {error.kind} | {error.http_status} | {promise} |\n"


if __name__ == "__main__":
    PAGE.write_text(expected(), encoding="utf-8")
