"""Logging of the process, for as long as an `Infra` is open."""

from __future__ import annotations

import logging as stdlib_logging
from typing import Self

from undercroft.app._settings import Settings
from undercroft.logging import LoggingSetup, setup_logging


class ProcessLogging:
    """Sets up logging, unless the application has done so itself, and restores what was there. One life."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._setup: LoggingSetup | None = None

    async def __aenter__(self) -> Self:
        if not stdlib_logging.getLogger().handlers:
            self._setup = setup_logging(level=self._settings.log_level.value, format=self._settings.log_format.value)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._setup is not None:
            self._setup.close()
