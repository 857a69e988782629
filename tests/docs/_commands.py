"""Split `sh` and `console` blocks into what has to be done, in order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from itertools import groupby

from tests.docs._blocks import Block

PROMPT = "$ "
_PIP = re.compile(r"(python3? -m |uv )?pip install |uv add ")


class How(Enum):
    """What the runner does with a command."""

    SCRIPT = auto()
    """Run by bash, together with its neighbours."""
    BACKGROUND = auto()
    """Started, and ended at the end of the page."""
    MAKE = auto()
    """Run in the root of the repository, if it may be."""
    PIP = auto()
    """Not run; its requirements are looked up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command of a console block, or one piece of a `sh` block."""

    block: Block
    line: int
    text: str
    """Without its prompt and without a trailing ` &`; several lines with continuations."""
    how: How
    expected: tuple[str, ...] = ()
    """The output that the page shows; empty when it shows none, which checks none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Neighbouring commands that are done the same way; only scripts have more than one."""

    how: How
    commands: tuple[Command, ...]


def steps_of(block: Block) -> list[Step]:
    """Return what a `sh` or `console` block asks for.

    Raises:
        PageError: Output before the first prompt, or a background command in a `sh` block.
    """
    commands = list(_console(block) if block.language == "console" else _sh(block))
    steps: list[Step] = []
    for how, group in groupby(commands, key=lambda command: command.how):
        members = tuple(group)
        together = [members] if how is How.SCRIPT else [(command,) for command in members]
        steps.extend(Step(how=how, commands=some) for some in together)
    return steps


def _console(block: Block) -> Iterator[Command]:
    lines = list(enumerate(block.text.splitlines(), start=block.line))
    starts = [index for index, (_, text) in enumerate(lines) if text.startswith(PROMPT)]
    if lines and starts[:1] != [0]:
        raise block.error(f"a console block starts with a command: {PROMPT.strip()!r}, a space, and the command")
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield _console_command(block, lines[start:end])


def _console_command(block: Block, lines: list[tuple[int, str]]) -> Command:
    number, first = lines[0]
    text, rest = first.removeprefix(PROMPT), [line for _, line in lines[1:]]
    while text.endswith("\\") and rest:
        text += "\n" + rest.pop(0).removeprefix("> ")
    how = _how(text)
    if how is How.SCRIPT and text.endswith(" &"):
        how, text = How.BACKGROUND, text.removesuffix(" &")
    return Command(block=block, line=number, text=text, how=how, expected=tuple(rest))


def _sh(block: Block) -> Iterator[Command]:
    """Each run of lines that bash gets as they are is one command, since an `if` or a here-document spans several."""
    for how, group in groupby(_joined(block), key=lambda numbered: _how(numbered[1])):
        numbered = list(group)
        if how is How.SCRIPT:
            for line, text in numbered:
                if text.endswith(" &"):
                    raise block.error("a background command needs a console block, so that it is ended", line=line)
            text = "\n".join(text for _, text in numbered)
            yield Command(block=block, line=numbered[0][0], text=text, how=how)
        else:
            yield from (Command(block=block, line=line, text=text, how=how) for line, text in numbered)


def _joined(block: Block) -> Iterator[tuple[int, str]]:
    """Yield the lines with their numbers; lines that end in a backslash together with the next."""
    pending: tuple[int, str] | None = None
    for number, text in enumerate(block.text.splitlines(), start=block.line):
        start, before = pending or (number, "")
        pending = (start, f"{before}{text}\n") if text.endswith("\\") else None
        if pending is None:
            yield start, before + text
    if pending is not None:
        yield pending


def _how(text: str) -> How:
    if re.match(r"make($|\s)", text):
        return How.MAKE
    return How.PIP if _PIP.match(text) else How.SCRIPT
