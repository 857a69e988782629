"""What the process says when it ends."""

from __future__ import annotations

import signal
from enum import IntEnum

from undercroft._core.errors import Kind, UndercroftError
from undercroft.cli._errors import AppError, AppRaisedError, ServerFailedError, UnknownCodeError


class ExitCode(IntEnum):
    """The codes that are ours. Stable; scripts and supervisors may rely on them."""

    OK = 0
    """Done; also: stopped when asked to, and drained."""
    FAILED = 1
    """`check` found an error, or the application's own code failed."""
    USAGE = 2
    """The command line is wrong: an unknown option, APP or error code."""
    CONFIGURATION = 3
    """A setting is wrong, or a package is missing."""
    UNAVAILABLE = 4
    """A store, server or port is not available; trying again may help."""
    REFUSED = 5
    """Understood, and refused."""
    BUG = 70
    """An error that undercroft does not know: a bug in it. `EX_SOFTWARE` of BSD's sysexits.h."""
    INTERRUPTED = 130
    """Forced to end by SIGINT (128 + 2), as shells count it."""
    TERMINATED = 143
    """Forced to end by SIGTERM (128 + 15)."""


EPILOG = """\b
Exit codes:
    0  done; also: stopped when asked to, and drained
    1  check found an error, or the application failed
    2  usage: unknown option, APP or error code
    3  configuration: a wrong setting, a missing package
    4  unavailable: a store, server or port; try again
    5  refused
   70  a bug in undercroft
  130  forced to end by SIGINT (143 by SIGTERM)
"""


def exit_code_of(error: UndercroftError) -> ExitCode:
    """Return the code for a command that ended with `error`."""
    if isinstance(error, AppRaisedError | ServerFailedError):
        return ExitCode.FAILED
    if isinstance(error, AppError | UnknownCodeError):
        return ExitCode.USAGE
    by_kind = {Kind.UNAVAILABLE: ExitCode.UNAVAILABLE, Kind.REFUSED: ExitCode.REFUSED}
    return by_kind.get(error.kind, ExitCode.CONFIGURATION)


def forced_by(number: int) -> ExitCode:
    """Return the code for a command that was forced to end by a signal."""
    return ExitCode.TERMINATED if number == signal.SIGTERM else ExitCode.INTERRUPTED
