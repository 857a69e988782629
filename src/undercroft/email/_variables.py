"""Variables: `{{name}}`, `{{ name }}`, `{{user.name}}`, and `\\{{` for two braces.

Nothing else: no filters, no conditions, no attributes, no calls. A dot goes into a mapping, never into an object, so a
template cannot reach `__class__` and what lies behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from typing import Literal
from uuid import UUID

from undercroft._core.errors import near_names
from undercroft.email._errors import MissingVariable, MissingVariableError, TemplateSyntaxError, TemplateValueError

Missing = Literal["error", "keep", "empty"]
_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
_PATH = re.compile(rf"{_NAME}(\.{_NAME})*")
_BRACES = re.compile(r"(?P<escaped>\\\{\{)|\{\{(?P<inside>[^\n]*?)\}\}|(?P<open>\{\{)")
# A bool is an int; an enum with a str or int mixin is one too.
_PLAIN = (str, int, float, Decimal, date, time, UUID)
_UNSAFE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One place where a value goes; `start` and `end` are offsets into the text that was scanned."""

    name: str
    start: int
    end: int
    path: str
    line: int
    column: int

    @property
    def is_literal(self) -> bool:
        """Whether this is an escaped pair of braces, which has no name."""
        return not self.name


def scan(text: str, *, path: str, line: int = 1, column: int = 1) -> tuple[Variable, ...]:
    """Find the variables of `text`, which begins at `line` and `column` of the file `path`.

    Raises:
        TemplateSyntaxError: Braces that are not closed on their line, or hold anything but a name.
    """
    return tuple(_scan(text, path, line, column))


def resolve(variables: Sequence[Variable], values: Mapping[str, object], missing: Missing) -> dict[Variable, str]:
    """Return the text for each variable.

    Raises:
        MissingVariableError: Some have none; with all of them. Only when `missing` is `"error"`.
        TemplateValueError: Some value has no plain text form.
    """
    if not isinstance(values, Mapping):
        raise TemplateValueError(f"data is a {type(values).__name__}, not a mapping of variables to values")
    resolved: dict[Variable, str] = {}
    absent: list[Variable] = []
    for variable in variables:
        text = "{{" if variable.is_literal else _look_up(variable, values)
        if text is None:
            absent.append(variable)
            text = "" if missing == "empty" else f"{{{{{variable.name}}}}}"
        resolved[variable] = text
    if absent and missing == "error":
        raise _missing_error(absent, values)
    return resolved


def printable(text: str) -> str:
    """Replace control characters other than tabs and line breaks, and lone surrogates, by U+FFFD."""
    return _UNSAFE.sub("\ufffd", text)


def split(text: str, variables: Sequence[Variable]) -> Iterator[str | Variable]:
    """Yield the literal text and the variables of `text`, in order."""
    position = 0
    for variable in variables:
        yield text[position : variable.start]
        yield variable
        position = variable.end
    yield text[position:]


def _scan(text: str, path: str, line: int, column: int) -> Iterator[Variable]:
    for match in _BRACES.finditer(text):
        before = text[: match.start()]
        row = line + before.count("\n")
        place = match.start() - before.rfind("\n") if "\n" in before else column + match.start()
        name = (match["inside"] or "").strip()
        if match["escaped"] is None:
            _check_name(name, match["open"] is not None, path, row, place)
        yield Variable(name=name, start=match.start(), end=match.end(), path=path, line=row, column=place)


def _check_name(name: str, is_open: bool, path: str, line: int, column: int) -> None:
    if is_open:
        raise TemplateSyntaxError(
            path, line, column, "{{ is not closed on its line", hint="write {{name}}, or \\{{ for two braces"
        )
    if not _PATH.fullmatch(name):
        raise TemplateSyntaxError(
            path,
            line,
            column,
            f"{{{{{name}}}}} is not a variable",
            hint="only {{name}} and {{user.name}} are known; there are no filters, conditions or calls",
        )
    if any(part.startswith("__") for part in name.split(".")):
        raise TemplateSyntaxError(
            path, line, column, f"{{{{{name}}}}} asks for an attribute", hint="variables are keys of data, nothing else"
        )


def _look_up(variable: Variable, values: Mapping[str, object]) -> str | None:
    value: object = values
    walked: list[str] = []
    for part in variable.name.split("."):
        if not isinstance(value, Mapping):
            raise _value_error(variable, ".".join(walked), value, "not a mapping, so it has no parts")
        if part not in value:
            return None
        value = value[part]
        walked.append(part)
    if not isinstance(value, _PLAIN):
        raise _value_error(variable, variable.name, value, "which has no plain text form")
    return str(value)


def _value_error(variable: Variable, name: str, value: object, problem: str) -> TemplateValueError:
    return TemplateValueError(
        f"{variable.path}:{variable.line}:{variable.column}  {name!r} is a {type(value).__name__}, {problem}",
        hint="give text, a number, a date or a UUID, or a mapping whose keys are used with dots",
    )


def _missing_error(absent: Sequence[Variable], values: Mapping[str, object]) -> MissingVariableError:
    known = sorted(_names(values))
    missing = [
        MissingVariable(
            name=variable.name,
            path=variable.path,
            line=variable.line,
            column=variable.column,
            near=tuple(near_names(variable.name, known, limit=1)),
        )
        for variable in absent
    ]
    return MissingVariableError(missing, known)


def _names(values: Mapping[str, object], prefix: str = "", depth: int = 0) -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, Mapping) and depth < 4:
            yield from _names(value, f"{prefix}{key}.", depth + 1)
        else:
            yield f"{prefix}{key}"
