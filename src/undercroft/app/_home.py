"""The directory where the embedded engines keep their files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

import anyio

from undercroft.app._errors import HomeNotWritableError


class Home:
    """Makes the directory when it is opened, and leaves it where it is. Opened and closed with its `Infra`."""

    def __init__(self, path: Path, *, origin: str) -> None:
        self._path = path
        self._origin = origin

    async def __aenter__(self) -> Self:
        await anyio.to_thread.run_sync(self._make)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Leave everything where it is."""

    def _make(self) -> None:
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            # Never in a directory that has something of its own: git would stop seeing it.
            if not any(self._path.iterdir()):
                (self._path / ".gitignore").write_text("*\n")
        except OSError as exc:
            raise self._not_writable(exc.strerror or type(exc).__name__) from exc
        if not os.access(self._path, os.W_OK | os.X_OK):
            raise self._not_writable("Permission denied")

    def _not_writable(self, reason: str) -> HomeNotWritableError:
        return HomeNotWritableError(
            f"the home directory {self._path} (from {self._origin}) cannot be written: {reason}",
            hint="point UNDERCROFT_HOME at a directory that this user may write",
        )
