"""Where one page runs: its directory, its environment, its deadline."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE_S = 240.0

# Settings of the shell that runs the tests, and what an outer make tells an inner one.
_HIDDEN = re.compile(
    r"UNDERCROFT_.*|(REDIS_URL|DATABASE_URL|RESEND_API_KEY|SMTP_URL|EMAIL_FROM|LOG_LEVEL|LOG_FORMAT)(_FILE)?|"
    r"MAKE.*|MFLAGS|PYTEST_.*|PYTHON.*|XDG_.*|COLUMNS|FORCE_COLOR"
)


class Workplace:
    """Made for one page, in an empty directory that pytest removes."""

    def __init__(self, base: Path) -> None:
        self.directory = base / "page"
        self.scratch = base / "scratch"
        """For scripts and outputs; the page does not see it."""
        self._home = base / "home"
        for directory in (self.directory, self.scratch, self._home):
            directory.mkdir()
        self._end = time.monotonic() + PAGE_S

    def remaining(self, at_most: float = PAGE_S) -> float:
        """Return the seconds the page still has."""
        return max(0.1, min(at_most, self._end - time.monotonic()))

    def environ(self) -> dict[str, str]:
        """Return the environment of everything the page runs: the virtual environment first, nobody's settings."""
        kept = {name: value for name, value in os.environ.items() if not _HIDDEN.fullmatch(name)}
        binaries = str(Path(sys.executable).parent)
        return {
            **kept,
            "HOME": str(self._home),
            "PATH": os.pathsep.join([binaries, kept.get("PATH", os.defpath)]),
            "VIRTUAL_ENV": sys.prefix,
            "LC_ALL": "C.UTF-8",
            "TERM": "dumb",
            "NO_COLOR": "1",
            "PYTHONDONTWRITEBYTECODE": "1",  # a file written twice in one second must not run from its first cache
            "PYTHONUNBUFFERED": "1",
        }

    def fresh_file(self, kind: str) -> Path:
        """Return a path that nothing is at yet."""
        return self.scratch / f"{len(list(self.scratch.iterdir()))}.{kind}"


def start(command: list[str], *, workplace: Workplace, output: Path, cwd: Path, **more: str) -> subprocess.Popen[bytes]:
    """Start `command` as a process group of its own, printing to `output`, with `more` in its environment."""
    with output.open("wb") as sink:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env={**workplace.environ(), **more},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def end_group(process: subprocess.Popen[bytes], *, patience: float) -> bool:
    """Ask the whole group to end and wait for its leader; kill what is left. Return whether it ended when asked."""
    _signal_group(process, signal.SIGTERM)
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        return False
    finally:
        _signal_group(process, signal.SIGKILL)
        process.wait()
    return True


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nothing of the group is left
        os.killpg(process.pid, number)


def read(output: Path) -> str:
    """Return what was printed so far."""
    return output.read_text(encoding="utf-8", errors="replace")
