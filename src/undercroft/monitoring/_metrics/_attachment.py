"""The handle of who shares metrics in a directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Self


class Attachment:
    """One attachment to a directory. Whoever attached detaches; a `with` block does. The last one ends the sharing."""

    def __init__(self, detach: Callable[[], None], directory: Path) -> None:
        self.directory = directory
        self._detach: Callable[[], None] | None = detach

    def detach(self) -> None:
        """End this attachment; twice is no error. What was counted stays in the directory, and in this process."""
        detach, self._detach = self._detach, None
        if detach is not None:
            detach()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.detach()
