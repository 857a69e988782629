"""`undercroft explain`."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from undercroft.cli._options import debug_option, json_option
from undercroft.cli._output import print_json

if TYPE_CHECKING:
    from undercroft._core.errors import UndercroftError


@click.command(short_help="Print what an error means.")
@click.argument("code", metavar="CODE")
@json_option
@debug_option
def explain(*, code: str, as_json: bool) -> None:
    """Print what the error CODE, such as UC1203, means and where it is raised."""
    from undercroft.cli._catalogue import find_error, places_of

    error = find_error(_normal(code))
    document = _document(error, places_of(error))
    if as_json:
        print_json(document)
    else:
        print("\n".join(_lines(error, document)))


def _document(error: type[UndercroftError], places: list[str]) -> dict[str, Any]:
    public = error.__module__.partition("._")[0]
    is_exported = getattr(import_module(public), error.__name__, None) is error
    return {
        "code": error.code,
        "name": error.__name__,
        "module": public if is_exported else error.__module__,
        "kind": error.kind.value,
        "bases": [base.__name__ for base in error.__bases__],
        "doc": inspect.getdoc(error) or "",
        "raised_in": places,
    }


def _lines(error: type[UndercroftError], document: dict[str, Any]) -> Iterator[str]:
    yield f"{error.code} {error.__name__}: {error.kind.value}: {_advice(error)}"
    for paragraph in document["doc"].split("\n\n"):
        yield ""
        yield textwrap.fill(" ".join(paragraph.split()), 80)
    yield ""
    yield f"defined in    {document['module']}"
    yield f"derives from  {', '.join(document['bases'])}"
    for index, place in enumerate(document["raised_in"]):
        yield f"{'raised in' if index == 0 else '':13} {place}"


def _normal(code: str) -> str:
    digits = re.fullmatch(r"(?:uc)?(\d{1,4})", code.strip().lower())
    return f"UC{digits[1]:0>4}" if digits else code.upper()


def _advice(error: type[UndercroftError]) -> str:
    return {
        "misuse": "fix the code or the configuration; a retry gives the same answer",
        "unavailable": "something outside did not answer; a retry may help",
        "refused": "understood and denied; change the request",
    }[error.kind.value]
