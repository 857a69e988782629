"""The inbox on disk: how a message is written once, whole, and found again.

    <id>.eml          the message as bytes
    <id>.pending      its record, before the message counts
    <id>.json         its record, once it counts: a message exists exactly when this file does
    .keys/<sha256>    for an idempotency key: the id of the first message that had it

Order of a write: the message, then the pending record, then (with a key) a hard link that only one writer can make,
then the rename of the record. Each step is flushed to disk. A writer that dies after the link is finished by the next
one with the same key; before it, it leaves files that no one sees.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from undercroft._core.ids import is_id
from undercroft.email._errors import InboxError

_KEYS = ".keys"


class InboxFiles:
    """One directory. Blocks; holds no state, so any number of threads and processes may use one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def prepare(self) -> None:
        """Make the directory, readable by its owner only, and prove that it can be written."""
        with self._errors("made or written"):
            (self.directory / _KEYS).mkdir(mode=0o700, parents=True, exist_ok=True)
            probe = self.directory / f".probe-{os.getpid()}-{os.urandom(4).hex()}"
            self._write(probe, b"")
            probe.unlink()

    def add(self, id_: str, message: bytes, record: bytes, *, key: str | None) -> str:
        """Write a message and return the id it has: its own, or that of the first one with `key`."""
        with self._errors("written"):
            self._write(self._path(id_, "eml"), message)
            self._write(self._path(id_, "pending"), record)
            self._flush_directory(self.directory)
            winner = id_ if key is None else self._claim(key, id_)
            if winner != id_:
                self._path(id_, "pending").unlink()
                self._path(id_, "eml").unlink()
            self._publish(winner)
            return winner

    def ids(self) -> list[str]:
        """Return the ids of all messages, newest first."""
        with self._errors("read"):
            names = (Path(entry.name) for entry in os.scandir(self.directory))
            return sorted((name.stem for name in names if name.suffix == ".json" and is_id(name.stem)), reverse=True)

    def record(self, id_: str) -> bytes | None:
        """Return the record of a message, `None` when there is none."""
        return self._read(self._path(id_, "json"))

    def message(self, id_: str) -> bytes | None:
        """Return the bytes of a message, `None` when there is none."""
        return self._read(self._path(id_, "eml"))

    def _claim(self, key: str, id_: str) -> str:
        """Return the id that owns `key`: `id_`, unless another was first."""
        claim = self.directory / _KEYS / hashlib.sha256(key.encode()).hexdigest()
        own = claim.with_name(f"{claim.name}.{id_}")
        self._write(own, id_.encode())
        try:
            os.link(own, claim)
        except FileExistsError:
            return claim.read_text("ascii")
        else:
            self._flush_directory(claim.parent)
            return id_
        finally:
            own.unlink()

    def _publish(self, id_: str) -> None:
        # Not there: it was published already, by its own writer or by another one with the same key.
        with suppress(FileNotFoundError):
            self._path(id_, "pending").replace(self._path(id_, "json"))
        self._flush_directory(self.directory)

    def _path(self, id_: str, suffix: str) -> Path:
        return self.directory / f"{id_}.{suffix}"

    def _read(self, path: Path) -> bytes | None:
        if not is_id(path.stem):
            return None
        with self._errors("read"):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    @staticmethod
    def _flush_directory(directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            reason = exc.strerror or type(exc).__name__
            raise InboxError(
                f"the inbox {str(self.directory)!r} cannot be {what}: {reason}",
                transport="inbox",
                hint="give this process write access to the directory, or choose another: inbox:///var/mail",
            ) from exc
