"""Have a server's own loggers come through the root logger, and give them back.

uvicorn's default configuration (uvicorn/config.py, `LOGGING_CONFIG`) gives its loggers their own console handlers and
cuts them off from the root, so its lines would come beside ours in another format.
"""

from __future__ import annotations

import logging as stdlib_logging
from dataclasses import dataclass

_SERVER_LOGGERS = ("uvicorn", "uvicorn.access", "uvicorn.error", "uvicorn.asgi")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedirectedLogger:
    """One logger as it was before."""

    logger: stdlib_logging.Logger
    console: tuple[stdlib_logging.Handler, ...]
    """The handlers that were taken off."""
    propagate: bool
    level: int

    def restore(self) -> None:
        """Give the logger back its handlers, its level and its place."""
        for handler in self.console:
            self.logger.addHandler(handler)
        self.logger.propagate = self.propagate
        self.logger.setLevel(self.level)


def redirect_server_loggers() -> tuple[RedirectedLogger, ...]:
    """Take the console handlers off uvicorn's loggers; their lines and levels become the root's.

    Only where there are any: loggers that someone configured without console handlers are left alone, and so are
    file handlers.
    """
    known = stdlib_logging.root.manager.loggerDict
    loggers = [known[name] for name in _SERVER_LOGGERS if isinstance(known.get(name), stdlib_logging.Logger)]
    states = [_state(logger) for logger in loggers if isinstance(logger, stdlib_logging.Logger)]
    if not any(state.console for state in states):
        return ()
    for state in states:
        for handler in state.console:
            state.logger.removeHandler(handler)
        state.logger.propagate = state.propagate or bool(state.console)
        state.logger.setLevel(stdlib_logging.NOTSET)
    return tuple(states)


def _state(logger: stdlib_logging.Logger) -> RedirectedLogger:
    console = tuple(handler for handler in logger.handlers if _is_console(handler))
    return RedirectedLogger(logger=logger, console=console, propagate=logger.propagate, level=logger.level)


def _is_console(handler: stdlib_logging.Handler) -> bool:
    return isinstance(handler, stdlib_logging.StreamHandler) and not isinstance(handler, stdlib_logging.FileHandler)
