"""Keep drivers from writing the values of statements: no rule knows a bare parameter for what it is."""

from __future__ import annotations

import logging as stdlib_logging
from dataclasses import dataclass

# At debug, aiosqlite writes each call with its parameters, and pymongo each command with its documents.
_DRIVERS = ("aiosqlite", "pymongo.command")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLogger:
    """A driver's logger that is held at info."""

    logger: stdlib_logging.Logger

    def restore(self) -> None:
        """Give it its level back, unless somebody has set another meanwhile."""
        if self.logger.level == stdlib_logging.INFO:
            self.logger.setLevel(stdlib_logging.NOTSET)


def hold_drivers() -> tuple[HeldLogger, ...]:
    """Hold at info those that have no level of their own: who sets one wants what they write."""
    loggers = [stdlib_logging.getLogger(name) for name in _DRIVERS]
    held = [logger for logger in loggers if logger.level == stdlib_logging.NOTSET]
    for logger in held:
        logger.setLevel(stdlib_logging.INFO)
    return tuple(HeldLogger(logger=logger) for logger in held)
