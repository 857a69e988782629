"""Errors, as a person at a terminal wants them: what, where in their own code, and what to do; no traceback of ours."""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from undercroft._core.errors import UndercroftError
from undercroft.cli._errors import AppRaisedError
from undercroft.cli._exit_codes import ExitCode, exit_code_of, forced_by

_OURS = Path(__file__).parents[1]


@dataclass(slots=True)
class RunOptions:
    """What every command shares."""

    debug: bool = False
    """Show tracebacks of our own errors too."""


class Interrupted(BaseException):
    """SIGTERM or SIGINT came before there was anything to drain. `number` is the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def reported(action: Callable[[], int], options: RunOptions) -> int:
    """Run `action` and return its exit code; print what it raises, and return the code for that."""
    try:
        return action()
    except Interrupted as stop:
        return forced_by(stop.number)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BaseException as exc:
        if isinstance(exc, SystemExit | GeneratorExit):
            raise
        return _report(exc, debug=options.debug)


def _report(exc: BaseException, *, debug: bool) -> int:
    leaves = list(_leaves(exc))
    errors = [leaf for leaf in leaves if isinstance(leaf, UndercroftError)]
    if debug or len(errors) < len(leaves):
        sys.stderr.write(_redacted("".join(traceback.format_exception(exc))))
    for error in errors:
        print_error(error)
    if len(errors) < len(leaves):
        _say("this is a bug in undercroft, or in code that it called: please report it, with the lines above")
        return ExitCode.BUG
    return exit_code_of(errors[0])


def print_error(error: UndercroftError) -> None:
    """Print one error to stderr, with the line of the user's own code that it came from."""
    if isinstance(error, AppRaisedError) and error.__cause__ is not None:
        sys.stderr.write(_redacted("".join(user_traceback(error.__cause__))))
    place = None if isinstance(error, AppRaisedError) else _user_place(error.__traceback__)
    message, *more = _redacted(str(error)).split("\n")
    _say("\n".join([message, *([f"  at:   {place}"] if place else []), *more]))


def user_traceback(exc: BaseException) -> list[str]:
    """Return the traceback of `exc`, without the frames before the first one of the user's code."""
    frames = exc.__traceback__
    while frames is not None and not _is_users(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return traceback.format_exception(type(exc), exc, frames)


def _redacted(text: str) -> str:
    from undercroft.logging import redact_text  # late: most commands end without an error

    return redact_text(text)


def _say(text: str) -> None:
    word = "\x1b[31merror:\x1b[0m" if has_color(sys.stderr.isatty()) else "error:"
    print(f"{word} {text}", file=sys.stderr, flush=True)


def has_color(is_terminal: bool) -> bool:
    """Tell whether to print colours: on a terminal, unless `NO_COLOR` is set (no-color.org)."""
    return is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _leaves(exc: BaseException) -> Iterator[BaseException]:
    if isinstance(exc, BaseExceptionGroup):
        for member in exc.exceptions:
            yield from _leaves(member)
    else:
        yield exc


def _user_place(frames: TracebackType | None) -> str | None:
    places = [(step.filename, step.lineno) for step in traceback.extract_tb(frames) if _is_users(step.filename)]
    if not places:
        return None
    name, line = places[-1]
    shown = os.path.relpath(name) if Path(name).is_relative_to(Path.cwd()) else name
    return f"{shown}:{line}"


def _is_users(filename: str) -> bool:
    path = Path(filename)
    if not path.is_absolute() or path.is_relative_to(_OURS):  # `<frozen importlib._bootstrap>` is not absolute
        return False
    if {"site-packages", "dist-packages"} & set(path.parts):
        return False
    installed = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "scripts")}
    return not any(path.is_relative_to(directory) for directory in installed)
