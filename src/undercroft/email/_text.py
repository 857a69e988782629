"""The plain text part, from the same parsed Markdown as the HTML part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from undercroft._core.extras import require_module

_INDENT = "    "


class Node(Protocol):
    """What we use of markdown-it-py's tree of tokens."""

    type: str
    content: str
    markup: str
    hidden: bool
    attrs: dict[str, Any]
    children: list[Node]


def to_text(tokens: Sequence[object]) -> str:
    """Return parsed Markdown as text: links as `text (address)`, lists with `- ` and `1. `, quotes with `> `."""
    tree = require_module("markdown_it.tree", extra="email", needed_for="an email written in Markdown")
    return _blocks(tree.SyntaxTreeNode(tokens)) + "\n"


def _blocks(node: Node, *, gap: str = "\n\n") -> str:
    return gap.join(filter(None, (_block(child) for child in node.children)))


def _block(node: Node) -> str:
    match node.type:
        case "inline":
            return _inline(node)
        case "bullet_list":
            return _list(node, lambda _: "- ")
        case "ordered_list":
            first = int(node.attrs.get("start", 1))
            return _list(node, lambda index: f"{first + index}. ")
        case "blockquote":
            return _prefix(_blocks(node), "> ", "> ")
        case "fence" | "code_block":
            return _prefix(node.content.rstrip("\n"), _INDENT, _INDENT)
        case "hr":
            return "-" * 20
        case "table":
            return "\n".join(_row(row) for section in node.children for row in section.children)
        case _:
            return _blocks(node)


def _list(node: Node, marker: Callable[[int], str]) -> str:
    is_tight = all(child.hidden for item in node.children for child in item.children if child.type == "paragraph")
    gap = "\n" if is_tight else "\n\n"
    items = []
    for index, item in enumerate(node.children):
        mark = marker(index)
        items.append(_prefix(_blocks(item, gap=gap), mark, " " * len(mark)))
    return gap.join(items)


def _row(row: Node) -> str:
    return " | ".join(_blocks(cell) for cell in row.children)


def _inline(node: Node) -> str:
    return "".join(_span(child) for child in node.children)


def _span(node: Node) -> str:
    match node.type:
        case "text" | "code_inline":
            return node.content
        case "softbreak" | "hardbreak":
            return "\n"
        case "image":
            return _inline(node) or node.content
        case "link":
            is_bare = node.markup in {"linkify", "autolink"}
            return _link("" if is_bare else _inline(node), str(node.attrs.get("href", "")))
        case _:
            return _inline(node)


def _link(text: str, address: str) -> str:
    short = address.removeprefix("mailto:").removeprefix("tel:")
    return short if not text.strip() or text in {address, short} else f"{text} ({address})"


def _prefix(text: str, first: str, rest: str) -> str:
    lines = text.split("\n")
    return "\n".join([first + lines[0], *(rest + line if line else rest.rstrip() for line in lines[1:])])
