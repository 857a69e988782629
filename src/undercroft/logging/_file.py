"""A log file: opened again when it was taken away, and begun anew when it is full."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from undercroft.logging._errors import LogFileError
from undercroft.logging._output import DescriptorOutput

_LEAST_BYTES = 65_536
_MODE = 0o640


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFile:
    """A file of log lines, UTF-8, appended to; several processes may write to the same.

    Raises:
        LogFileError: An option is out of range.
    """

    path: str | os.PathLike[str]
    max_size_bytes: int | None = None
    """Begin a new file before this one grows larger, at least 65,536; `None` leaves that to logrotate or the like. The
    full one is renamed to `<path>.1`, the one before to `<path>.2`, and so on."""
    keep: int = 5
    """How many full files are kept, at least 1; the oldest is removed."""

    def __post_init__(self) -> None:
        if self.max_size_bytes is not None and self.max_size_bytes < _LEAST_BYTES:
            raise LogFileError(f"max_size_bytes is at least {_LEAST_BYTES}, not {self.max_size_bytes!r}")
        if self.keep < 1:
            raise LogFileError(f"keep is at least 1, not {self.keep!r}")


class FileOutput(DescriptorOutput):
    """Writes to a `LogFile`. Opens it when made; whoever made it closes it.

    Raises:
        LogFileError: It cannot be opened.
    """

    def __init__(self, file: LogFile) -> None:
        super().__init__("utf-8")
        self._path = Path(file.path)
        self._most = file.max_size_bytes
        self._keep = file.keep
        try:
            self._open_file = self._opened()
        except OSError as exc:
            hint = "the folder must exist, and this process must be allowed to write there"
            raise LogFileError(f"cannot open the log file {str(self._path)!r}: {exc.strerror}", hint=hint) from exc

    def close(self) -> None:
        """Close the file."""
        if self._open_file >= 0:
            os.close(self._open_file)
            self._open_file = -1

    def _descriptor(self, size_bytes: int) -> int:
        if self._open_file < 0 or self._was_taken_away():
            self.close()
            self._open_file = self._opened()
        if self._most is not None and self._is_full(size_bytes, self._most):
            self._begin_anew(size_bytes, self._most)
        return self._open_file

    def _opened(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)

    def _was_taken_away(self) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return True
        return not os.path.samestat(there, os.fstat(self._open_file))

    def _is_full(self, size_bytes: int, most: int) -> bool:
        size = os.fstat(self._open_file).st_size
        return size > 0 and size + size_bytes > most

    def _begin_anew(self, size_bytes: int, most: int) -> None:
        # The lock is on the full file itself: of several processes one renames it, and the others find it renamed.
        fcntl.flock(self._open_file, fcntl.LOCK_EX)
        if not self._was_taken_away() and self._is_full(size_bytes, most):
            for number in range(self._keep - 1, 0, -1):
                older = self._numbered(number)
                if older.exists():
                    older.replace(self._numbered(number + 1))
            self._path.replace(self._numbered(1))
        self.close()  # which unlocks it too
        self._open_file = self._opened()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
