"""What `trace` and `logs` share: where the store is, how it is opened, and text that is safe on a terminal."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from undercroft._core.errors import ConfigError
from undercroft.cli._report import has_color

if TYPE_CHECKING:
    from undercroft.monitoring import RecentStore, StoryLine

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
_COLORS = {"error": "\x1b[31m", "critical": "\x1b[31m", "warning": "\x1b[33m"}
_RESET = "\x1b[0m"
_SHORT = {"warning": "WARN", "critical": "CRIT"}
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_JOINERS = "\u200c\u200d"  # Persian words and emoji are made of them


def home_option(command: F) -> F:
    """Take `--home` as `home`."""
    return click.option(
        "--home", metavar="DIRECTORY", help="Where the application keeps its files. [default: $UNDERCROFT_HOME]"
    )(command)


def on_recent(home: str | None, action: Callable[[RecentStore], Awaitable[T]]) -> T:
    """Open the store of recent spans and lines for one action, and return what that returns.

    Raises:
        RecentMissingError: No process has kept any where they are looked for.
    """
    import asyncio

    from undercroft.monitoring import RecentStore

    path = existing_file(home, os.environ)

    async def run() -> T:
        async with RecentStore(path) as store:
            return await action(store)

    return asyncio.run(run())


def existing_file(home: str | None, variables: Mapping[str, str]) -> Path:
    """Return the file that `--home`, `UNDERCROFT_RECENT` or `UNDERCROFT_HOME` names, in this order.

    Raises:
        RecentMissingError: It does not exist.
        ConfigError: `UNDERCROFT_RECENT` names no file, or a `…_FILE` cannot be read.
    """
    from undercroft._core.url import Url
    from undercroft.monitoring import RecentMissingError

    url = "" if home else _setting(variables, "UNDERCROFT_RECENT")
    if url.lower() == "none":
        raise RecentMissingError("UNDERCROFT_RECENT is none: no spans and lines are kept", hint=_KEEP)
    if url:
        path = Path(Url.parse(url, what="UNDERCROFT_RECENT").file_path(what="UNDERCROFT_RECENT"))
    else:
        path = Path(home or _setting(variables, "UNDERCROFT_HOME") or ".undercroft") / "recent.db"
    if not path.is_file():
        raise RecentMissingError(f"no spans and lines are kept in {path}", hint=_KEEP)
    return path


def _setting(variables: Mapping[str, str], name: str) -> str:
    file = variables.get(f"{name}_FILE")
    if variables.get(name) or not file:
        return variables.get(name, "").strip()
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{name}_FILE: {file} cannot be read: {exc}", hint="name a text file") from exc


_KEEP = (
    "start the application here (they are kept in development), set UNDERCROFT_RECENT=sqlite:///var/recent.db for it "
    "and for this command, or say where it keeps its files: --home var"
)


@contextmanager
def while_read() -> Iterator[None]:
    """End the block quietly when nobody reads what it prints any more, as in `undercroft logs | head`."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def terminal_width() -> int:
    """Return how many columns a line may have: the terminal's, or 80 where there is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() or "COLUMNS" in os.environ else 80


def safe(text: str) -> str:
    """Return `text` without anything that ends a line, moves the cursor, or turns or hides what follows."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _JOINERS else _ESCAPES.get(c) or _escaped(c) for c in text)


def painted(text: str, level: str) -> str:
    """Return `text` in the colour of a level, where colours are wanted."""
    color = _COLORS.get(level)
    return f"{color}{text}{_RESET}" if color and has_color(sys.stdout.isatty()) else text


def level_word(line: StoryLine) -> str:
    """Return the level of a line, as five characters or more."""
    return f"{safe(_SHORT.get(line.level, line.level.upper())):<5}"


def line_text(line: StoryLine) -> str:
    """Return message, fields and error of a line as one line of text."""
    words = [safe(line.message), *(f"{safe(key)}={_value(value)}" for key, value in line.fields.items())]
    if isinstance(line.error, dict):
        words.append(f"error={_value(': '.join(str(line.error.get(part, '')) for part in ('type', 'message')))}")
    elif line.error is not None:
        words.append(f"error={_value(line.error)}")
    return " ".join(words)


def _value(value: object) -> str:
    import msgspec

    if isinstance(value, str) and value.isprintable() and not set(value) & set(" \"'=[]{}\\"):
        return value or '""'
    return safe(msgspec.json.encode(value).decode())


def _escaped(character: str) -> str:
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"
