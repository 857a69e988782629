"""A template and its variables to a subject, HTML and text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from undercroft._core.errors import near_names
from undercroft.email._errors import TemplateValueError
from undercroft.email._headers import check_value
from undercroft.email._layout import wrap
from undercroft.email._markdown import render
from undercroft.email._protocol import RenderedEmail
from undercroft.email._template import Template
from undercroft.email._variables import Missing, Variable, printable, resolve, split

_MODES: tuple[str, ...] = get_args(Missing)


def render_template(
    template: Template, variables: Mapping[str, object], *, missing: Missing = "error"
) -> RenderedEmail:
    """Fill in `variables` and return subject, HTML, text and preheader.

    Values are data, whatever they contain: they are escaped for the place they are put in, and never become Markdown,
    HTML, another header or a link that runs.

    Args:
        variables: Text, numbers, dates and UUIDs, or mappings of them for dotted names. What is not used is ignored.
        missing: What a variable without a value does: raise, stay as it is written, or become empty.

    Raises:
        MissingVariableError: With every variable that has no value, and where.
        TemplateValueError: A value has no plain text form.
        UnsafeLinkError: A value would make a link that runs or misleads.
        HeaderInjectionError: A value for the subject has line breaks or control characters.
    """
    if missing not in _MODES:
        raise TemplateValueError(
            f"missing={missing!r} is not known", near=near_names(str(missing), _MODES), hint="error, keep or empty"
        )
    parts = {part: template.scan(part) for part in ("subject", "preheader", "body")}
    everything = tuple(variable for found in parts.values() for variable in found)
    values = resolve(everything, variables, missing)
    subject = check_value("subject", _fill(template.subject, parts["subject"], values))
    preheader = " ".join(printable(_fill(template.preheader, parts["preheader"], values)).split())
    html, text = render(template.body, {variable: values[variable] for variable in parts["body"]})
    document = wrap(html, title=subject, preheader=preheader, lang=template.locale or "en")
    return RenderedEmail(subject=subject, html=document, text=text, preheader=preheader)


def _fill(text: str, variables: tuple[Variable, ...], values: Mapping[Variable, str]) -> str:
    return "".join(piece if isinstance(piece, str) else values[piece] for piece in split(text, variables))
