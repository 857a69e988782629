"""Find the fenced code blocks of a page."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROSE = frozenset({"text", "json", "env", "toml", "markdown", "yaml"})
RUN = frozenset({"python", "sh", "console"})

_OPENING = re.compile(r"(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>[^`]*)$")
_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')


class PageError(AssertionError):
    """A page is wrong, or what it shows does not work. Its text starts with `page:line:`."""

    def __init__(self, page: Path, line: int, problem: str) -> None:
        super().__init__(f"{os.path.relpath(page)}:{line}: {problem}")
        self.page = page
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block, without its indentation."""

    page: Path
    line: int
    """Of its first line of code; the fence is on the line before."""
    language: str
    title: str | None
    """The file it is to be written to."""
    text: str

    def error(self, problem: str, *, line: int | None = None) -> PageError:
        return PageError(self.page, line or self.line, problem)


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of `page`, in order.

    Raises:
        PageError: A fence that is not closed, a language that is none of ours, a title outside the directory.
    """
    return [_checked(block) for block in _scan(page)]


def _scan(page: Path) -> Iterator[Block]:
    lines = iter(enumerate(page.read_text(encoding="utf-8").split("\n"), start=1))
    for number, line in lines:
        opening = _OPENING.fullmatch(line)
        if opening is None:
            continue
        body = []
        for _, inner in lines:
            if _closes(inner, opening["fence"]):
                break
            body.append(_dedent(inner, opening["indent"]))
        else:
            raise PageError(page, number, "this fence is never closed")
        info = opening["info"].strip()
        yield Block(
            page=page,
            line=number + 1,
            language=info.partition(" ")[0],
            title=dict(_ATTRIBUTE.findall(info)).get("title"),
            text="".join(f"{text}\n" for text in body),
        )


def _closes(line: str, fence: str) -> bool:
    stripped = line.strip()
    return len(stripped) >= len(fence) and set(stripped) == {fence[0]}


def _dedent(line: str, indent: str) -> str:
    # In a list item or an admonition the whole block is indented; a line with less than that keeps nothing of it.
    return line.removeprefix(indent) if line.startswith(indent) else line.lstrip()


def _checked(block: Block) -> Block:
    if block.title is not None:
        target = Path(block.title)
        if not block.title or target.is_absolute() or ".." in target.parts:
            raise block.error(f"title={block.title!r} is not a path inside the page's directory", line=block.line - 1)
    elif block.language not in PROSE | RUN:
        known = ", ".join(sorted(PROSE | RUN))
        raise block.error(
            f"{block.language or 'no language'!r}: a block's language is one of {known}", line=block.line - 1
        )
    return block
