"""Run the command as a user does: another process, a directory of its own, no settings but those given."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

T = TypeVar("T")
COMMAND = (sys.executable, "-m", "undercroft")
_DEADLINE_S = 20.0


def environment(**more: str) -> dict[str, str]:
    """Return this process's variables and `more`. A file that is edited twice in a second must not run from a cache."""
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "80", "LC_ALL": "C.UTF-8", **more}


def run(*arguments: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_DEADLINE_S,
        check=False,
    )


def wait_for(condition: Callable[[], T | None], what: str, seconds: float = _DEADLINE_S) -> T:
    """Return the first true value of `condition`, asked again and again until the deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"in vain, for {seconds:g}s: {what}")


class Running:
    """A command that runs until it is told to stop. Ended, by its pid, when the block is left."""

    def __init__(self, *arguments: str, cwd: Path, prefix: tuple[str, ...] = (), **more: str) -> None:
        self._out = cwd.parent / f"{cwd.name}.out"
        self._err = cwd.parent / f"{cwd.name}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*prefix, *COMMAND, *arguments],
                cwd=cwd,
                env=environment(**more),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    @property
    def out(self) -> str:
        return self._out.read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return self._err.read_text(encoding="utf-8")

    def wait_for_text(self, text: str, *, count: int = 1) -> None:
        """Return when the process has printed `text` that often."""

        def is_there() -> bool:
            has_printed = (self.out + self.err).count(text) >= count
            assert has_printed or self.process.poll() is None, f"ended without {text!r}:\n{self.out}{self.err}"
            return has_printed

        try:
            wait_for(is_there, f"{text!r} x{count}")
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self.out}{self.err}") from None

    def url(self) -> str:
        """Return the address that `dev` prints, once it has."""
        self.wait_for_text("http://")
        match = re.search(r"http://[\w.:\[\]]+", self.out)
        assert match is not None
        return match[0]

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, by its pid."""
        os.kill(self.process.pid, number)

    def insist(self, number: signal.Signals) -> None:
        """Send a signal again and again until the process has ended."""

        def has_ended() -> bool:
            if self.process.poll() is None:
                self.send(number)
            return self.process.poll() is not None

        wait_for(has_ended, "the end of the process", 5)

    def ended(self, within: float = _DEADLINE_S) -> int:
        """Return the exit code."""
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {within:g}s:\n{self.out}{self.err}") from None
