"""Where a SQLite file may live: a directory that can be written, on a disk of this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

from undercroft._core.sqlite_errors import StoreNotWritableError

_NETWORK_FILE_SYSTEMS = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "afs",
    "ceph",
    "glusterfs",
    "lustre",
    "9p",
    "fuse.gcsfuse",
    "fuse.glusterfs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.sshfs",
}
_MOUNTS = Path("/proc/self/mounts")


def require_local_writable(path: Path) -> None:
    """Make the directory of `path` when it is missing, and check that SQLite can work there.

    Raises:
        StoreNotWritableError: It cannot.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise StoreNotWritableError(
            f"the directory {path.parent} cannot be made: {exc.strerror}", hint="choose another path, or fix its rights"
        ) from exc
    target = path if path.exists() else path.parent
    if not os.access(target, os.W_OK) or not os.access(path.parent, os.W_OK):
        raise StoreNotWritableError(
            f"{target} is not writable for this user", hint="choose another path, or fix its rights"
        )
    file_system = file_system_of(path.parent)
    if file_system in _NETWORK_FILE_SYSTEMS:
        raise StoreNotWritableError(
            f"{path} is on a network file system ({file_system}), where SQLite's locks and WAL do not work",
            hint="use a local disk, or a server's URL such as redis://",
        )


def file_system_of(path: Path, mounts: str | None = None) -> str | None:
    """Return the type of the file system that holds `path`, where the platform tells (`/proc/self/mounts`)."""
    if mounts is None:
        try:
            mounts = _MOUNTS.read_text()
        except OSError:
            return None
    best, found = -1, None
    resolved = path.resolve()
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[1]))
        if resolved.is_relative_to(point) and len(point.parts) >= best:
            best, found = len(point.parts), fields[2]
    return found
