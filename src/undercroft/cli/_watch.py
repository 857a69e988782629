"""Notice that a source file has changed, by looking at all of them again and again.

Looking costs a few milliseconds for thousands of files, works on every file system, in containers and over network
mounts, where notifications get lost, and needs no package.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

SUFFIXES = (".py", ".md", ".html", ".toml", ".env")
_SKIPPED = frozenset({"__pycache__", "node_modules"})
_PAUSE_S = 0.5
_SETTLE_S = 0.1
_MAX_SETTLES = 10

_Stamp = tuple[int, int]


class Watch:
    """The source files below a directory, as they were when last looked at.

    Not looked into: hidden directories, `node_modules`, `__pycache__`, virtual environments, and directories that git
    ignores as a whole because they hold a `.gitignore` of `*`, which is what undercroft's own home has.

    Args:
        root: The directory.
        skipped: More directories not to look into.
    """

    def __init__(self, root: Path, *, skipped: tuple[Path, ...] = ()) -> None:
        self._root = os.fspath(root)
        self._skipped = {os.fspath(path.resolve()) for path in skipped}
        self._look_s = 0.0
        self._seen = self._look()

    @property
    def pause_s(self) -> float:
        """How long to wait before looking again: half a second, more where looking itself takes long."""
        return max(_PAUSE_S, 10 * self._look_s)

    def changes(self) -> list[str]:
        """Return the paths, relative to the root, that were changed, added or removed since the last look."""
        changed = self._difference()
        if changed:
            changed |= self._settled()
        return sorted(os.path.relpath(path, self._root) for path in changed)

    def _settled(self) -> set[str]:
        """Wait until nothing changes any more: a checkout or a formatter writes many files, one after the other."""
        more: set[str] = set()
        for _ in range(_MAX_SETTLES):  # something that writes for ever must not keep us from looking at signals
            time.sleep(_SETTLE_S)
            new = self._difference()
            if not new:
                break
            more |= new
        return more

    def _difference(self) -> set[str]:
        before, self._seen = self._seen, self._look()
        return {path for path in before.keys() | self._seen.keys() if before.get(path) != self._seen.get(path)}

    def _look(self) -> dict[str, _Stamp]:
        started = time.monotonic()
        found = dict(self._files(self._root))
        self._look_s = time.monotonic() - started
        return found

    def _files(self, directory: str) -> Iterator[tuple[str, _Stamp]]:
        try:
            entries = list(os.scandir(directory))
        except OSError:  # removed while we look, or not ours to read
            return
        if directory != self._root and any(_ignores_itself(entry) for entry in entries):
            return
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if not self._is_skipped(entry):
                    yield from self._files(entry.path)
            elif _is_source(entry.name):
                try:
                    stat = entry.stat()
                except OSError:
                    continue
                yield entry.path, (stat.st_mtime_ns, stat.st_size)

    def _is_skipped(self, entry: os.DirEntry[str]) -> bool:
        return entry.name.startswith(".") or entry.name in _SKIPPED or entry.path in self._skipped


def _is_source(name: str) -> bool:
    return name.endswith(SUFFIXES) and (not name.startswith(".") or name.startswith(".env") or name.endswith(".env"))


def _ignores_itself(entry: os.DirEntry[str]) -> bool:
    if entry.name == "pyvenv.cfg":
        return True
    if entry.name != ".gitignore":
        return False
    try:
        lines = Path(entry.path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return [line for line in lines if line and not line.startswith("#")] == ["*"]
