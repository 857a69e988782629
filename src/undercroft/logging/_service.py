"""The logger as an application's service, and levels that change while it runs."""

from __future__ import annotations

import logging as stdlib_logging

from undercroft.logging._levels import Level, level_number
from undercroft.logging._logger import Logger
from undercroft.logging._setup import LoggingSetup


class LoggerService(Logger):
    """A `Logger` to hand to whoever needs one, with the words `log` and `verbose` too. So are its children."""

    __slots__ = ()

    log = Logger.info
    verbose = Logger.debug


def set_level(target: LoggingSetup | Logger | str, level: Level) -> None:
    """Change from which level up lines are written, from now on.

    Args:
        target: The setup, for all loggers that have no level of their own; or the name of a standard library's logger
            (`sqlalchemy.engine`), for it and those below it; or a `Logger`: the one that was given a level has this
            one now, any other passes it on to the standard library's logger that it writes to.
        level: The new level.

    Raises:
        LogLevelError: There is no such level.
    """
    number = level_number(level)
    if isinstance(target, LoggingSetup):
        target.set_level(number)
    elif isinstance(target, Logger):
        target._set_level(number)  # noqa: SLF001 - its own module's: a method would be offered beside `info`
    else:
        stdlib_logging.getLogger(target).setLevel(number)
