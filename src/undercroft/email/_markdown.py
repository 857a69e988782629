"""Markdown to HTML and text, with values that stay data.

Variables become inert words before the Markdown is parsed, and the words become values inside the parsed tokens, each
escaped for the place it is in. So a value is never read as Markdown or HTML, whatever it contains, and this does not
depend on a list of dangerous characters. Parser: markdown-it-py (CommonMark, plus tables, strikethrough and bare
addresses as links), with HTML off.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Protocol

from undercroft._core.extras import require_module
from undercroft.email._links import IMAGE_SCHEMES, LINK_SCHEMES, fill_url
from undercroft.email._text import to_text
from undercroft.email._variables import Variable, printable, split


class Token(Protocol):
    """What we use of markdown-it-py's token."""

    content: str
    info: str
    children: list[Token] | None
    attrs: dict[str, str | int | float]


def render(source: str, values: Mapping[Variable, str] | None = None) -> tuple[str, str]:
    """Return Markdown as HTML content and as text.

    Args:
        source: Markdown.
        values: The text of each variable of `source`, in order.

    Raises:
        MissingExtraError: markdown-it-py is not installed.
        UnsafeLinkError: A value would make a link that runs or misleads.
    """
    parser = _parser()
    words = _Words(source, values or {})
    tokens: list[Token] = parser.parse(words.source)
    _fill_tokens(tokens, words)
    html: str = parser.renderer.render(tokens, parser.options, {})
    return html, to_text(tokens)


class _Words:
    """The inert word for each variable, and the way back. Lives for one rendering."""

    def __init__(self, source: str, values: Mapping[Variable, str]) -> None:
        nonce = _nonce(source)
        self._values: list[tuple[str, str]] = [(variable.name, printable(text)) for variable, text in values.items()]
        numbers = {variable: index for index, variable in enumerate(values)}
        pieces = (p if isinstance(p, str) else f"{nonce}n{numbers[p]}e" for p in split(source, tuple(values)))
        self.source = "".join(pieces)
        self._word = re.compile(rf"{nonce}n(\d+)e")

    def fill(self, text: str) -> str:
        """Put the values into `text`, as they are."""
        return self._word.sub(lambda match: self._values[int(match[1])][1], text)

    def fill_link(self, address: str, schemes: Sequence[str]) -> str:
        """Put the values into a link's address."""
        pieces = self._word.split(address)  # literal, number, literal, …
        if len(pieces) == 1:
            return address
        return fill_url([self._values[int(p)] if i % 2 else p for i, p in enumerate(pieces)], schemes=schemes)


def _fill_tokens(tokens: Sequence[Token], words: _Words) -> None:
    for token in tokens:
        if token.children is not None:
            _fill_tokens(token.children, words)
        token.content = words.fill(token.content)
        token.info = ""  # the language of a code block would become a class
        for name, value in token.attrs.items():
            token.attrs[name] = _fill_attribute(name, value, words)


def _fill_attribute(name: str, value: str | float, words: _Words) -> str | float:
    if not isinstance(value, str):
        return value
    if name == "href":
        return words.fill_link(value, LINK_SCHEMES)
    if name == "src":
        return words.fill_link(value, IMAGE_SCHEMES)
    return words.fill(value)


def _nonce(source: str) -> str:
    """Return a lower-case word that is not in `source`: URL parsers may change the case of others."""
    while True:
        nonce = f"v{secrets.token_hex(8)}"
        if nonce not in source:
            return nonce


@cache
def _parser() -> Any:
    """The parser. Immutable once made, and a millisecond to make."""
    markdown_it = require_module("markdown_it", extra="email", needed_for="an email written in Markdown")
    require_module("linkify_it", extra="email", needed_for="an email written in Markdown")
    parser = markdown_it.MarkdownIt("commonmark", {"html": False, "linkify": True})
    parser.enable(["table", "strikethrough", "linkify"])
    # Only what is written as an address becomes a link: `notes.md` is a file, not a host in Moldova.
    parser.linkify.set({"fuzzy_link": False})
    return parser
