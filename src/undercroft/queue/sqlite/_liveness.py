"""Which workers of this machine are alive, told by the kernel.

Each worker holds an exclusive lock on a file of its own for as long as it lives. The kernel drops the lock the moment
the process ends, however it ends, so a dead worker is known at once, and one that is merely slow or stopped is not
taken for dead (its lease decides about that). The lock is `flock`: it works across containers that share the
directory, and not across machines, where SQLite would not work either.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

try:
    import fcntl as _fcntl
except ImportError:  # Windows: leases alone decide
    fcntl: ModuleType | None = None
else:
    fcntl = _fcntl


class WorkerLocks:
    """The lock files of one queue's workers, in one directory. Holds no state but the directory's path."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @contextmanager
    def hold(self, worker_id: str) -> Iterator[None]:
        """Be alive as `worker_id` for the block."""
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._path(worker_id)
        # Not inherited over exec: a subprocess that outlives the worker must not keep it alive.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(descriptor, f"{os.getpid()}\n".encode())
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(descriptor)

    def is_dead(self, worker_id: str) -> bool:
        """Tell whether the worker's process is known to have ended."""
        if fcntl is None:
            return False
        try:
            descriptor = os.open(self._path(worker_id), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            return True
        finally:
            os.close(descriptor)

    def forget(self, worker_id: str) -> None:
        """Remove a dead worker's file."""
        self._path(worker_id).unlink(missing_ok=True)

    def _path(self, worker_id: str) -> Path:
        return self._directory / f"{worker_id}.lock"
