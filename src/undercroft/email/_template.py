"""Templates: Markdown with variables, under a small front matter.

    ---
    subject: Welcome to {{appName}}!
    preheader: One step left
    ---

    Hi {{ name }}, …

The front matter is `key: value` lines between two lines `---`, with LF or CRLF; it may be absent. It is not YAML: a
value is the rest of its line, without one pair of quotes around it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from undercroft._core.errors import near_names
from undercroft.email._errors import HeaderInjectionError, TemplateSyntaxError
from undercroft.email._headers import check_value
from undercroft.email._variables import Variable, scan

NO_SUBJECT = "(No subject)"
_KEYS = ("subject", "preheader")
_LINE = re.compile(r"(?P<key>[^:\s]+)[ \t]*:[ \t]*(?P<value>.*?)[ \t]*")
_NO_PLACE = (1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One template, read and checked; render it as often as you like. Immutable."""

    name: str
    subject: str = NO_SUBJECT
    """As written, with its variables."""
    preheader: str = ""
    body: str
    """Markdown, as written, with LF line ends."""
    path: str
    """The file it was read from, for errors."""
    locale: str | None = None
    """The locale that was found, not the one that was asked for; `None` for a file without one."""
    places: Mapping[str, tuple[int, int]]
    """Line and column where `subject`, `preheader` and `body` begin in the file."""

    def scan(self, part: str) -> tuple[Variable, ...]:
        """Return the variables of `subject`, `preheader` or `body`, in order."""
        text: str = getattr(self, part)
        line, column = self.places.get(part, _NO_PLACE)
        return scan(text, path=self.path, line=line, column=column)

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of all variables, sorted."""
        found = (*self.scan("subject"), *self.scan("preheader"), *self.scan("body"))
        return tuple(sorted({variable.name for variable in found if not variable.is_literal}))


def parse_template(
    text: str, *, name: str = "template", path: str | None = None, locale: str | None = None
) -> Template:
    """Read a template from text.

    Templates are written by the application's authors. Never build one from what a user typed: what is literal in a
    template is markup, only the values of its variables are data.

    Args:
        text: Front matter and Markdown.
        name: For messages about it.
        path: The file, for errors; `name` by default.

    Raises:
        TemplateSyntaxError: The front matter is not closed, has an unknown or repeated key, or a variable is malformed.
    """
    path = path or name
    lines = re.sub(r"\r\n?", "\n", text.removeprefix("\ufeff")).split("\n")
    keys, places, body_index = _read_front_matter(lines, path)
    while body_index < len(lines) - 1 and not lines[body_index].strip():
        body_index += 1
    template = Template(
        name=name,
        subject=keys.get("subject") or NO_SUBJECT,
        preheader=keys.get("preheader", ""),
        body="\n".join(lines[body_index:]),
        path=path,
        locale=locale,
        places={**places, "body": (body_index + 1, 1)},
    )
    _ = template.variables  # malformed variables are found now, not when the first mail is due
    return template


def _read_front_matter(lines: list[str], path: str) -> tuple[dict[str, str], dict[str, tuple[int, int]], int]:
    """Return keys, the places of their values, and the index of the line after the front matter."""
    keys: dict[str, str] = {}
    places: dict[str, tuple[int, int]] = {}
    if lines[0].rstrip() != "---":
        return keys, places, 0
    for index, line in enumerate(lines[1:], start=1):
        if line.rstrip() == "---":
            return keys, places, index + 1
        if line.strip():
            key, value, column = _read_line(line, index + 1, path)
            if key in keys:
                raise TemplateSyntaxError(path, index + 1, 1, f"{key!r} is given twice in the front matter")
            keys[key], places[key] = value, (index + 1, column)
    raise TemplateSyntaxError(
        path, 1, 1, "the front matter is not closed", hint="end it with a line of three dashes, before the text"
    )


def _read_line(line: str, number: int, path: str) -> tuple[str, str, int]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise TemplateSyntaxError(path, number, 1, "this is not a line of front matter", hint="write key: value")
    key, value, start = match["key"], match["value"], match.start("value")
    if key not in _KEYS:
        raise TemplateSyntaxError(
            path,
            number,
            1,
            f"unknown {key!r} in the front matter",
            near=near_names(key, _KEYS),
            hint=f"known keys: {', '.join(_KEYS)}",
        )
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"" and value[0] not in value[1:-1]:
        value, start = value[1:-1], start + 1
    try:
        check_value(key, value)
    except HeaderInjectionError as exc:
        raise TemplateSyntaxError(path, number, start + 1, exc.message, hint=exc.hint) from exc
    return key, value, start + 1
