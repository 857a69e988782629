"""Plain text and HTML made from one another, for messages that are given as one of them only."""

from __future__ import annotations

import re
from html import escape
from html.parser import HTMLParser

_BLOCKS = {"p", "div", "table", "tr", "ul", "ol", "blockquote", "pre", "section", "article", "header", "footer", "hr"}
_HEADINGS = {f"h{level}" for level in range(1, 7)}
_UNSEEN = {"head", "script", "style", "template", "title"}


def text_to_html(text: str) -> str:
    """Return `text` as HTML content that shows its line breaks and nothing more."""
    return f'<div style="white-space:pre-wrap">{escape(text)}</div>'


def html_to_text(html: str) -> str:
    """Return the readable text of `html`: links as `text (address)`, list items as `- item`."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    lines = [line.strip() for line in "".join(reader.parts).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen = 0
        self._links: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNSEEN:
            self._unseen += 1
        elif tag == "br":
            self.parts.append("\n")
        elif tag == "li":
            self.parts.append("\n- ")
        elif tag == "a":
            self._links.append((dict(attrs).get("href") or "", len(self.parts)))
        elif tag == "img":
            self.parts.append(dict(attrs).get("alt") or "")
        elif tag in _BLOCKS | _HEADINGS:
            self.parts.append("\n\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        elif tag == "a" and self._links:
            address, start = self._links.pop()
            shown = "".join(self.parts[start:]).strip()
            if address and not address.startswith("#") and shown != address:
                self.parts.append(f" ({address})" if shown else address)
        elif tag in _BLOCKS | _HEADINGS:
            self.parts.append("\n\n")
        elif tag in {"td", "th"}:
            self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.parts.append(re.sub(r"\s+", " ", data))
