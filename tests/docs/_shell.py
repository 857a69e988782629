"""Run the commands of `sh` and `console` blocks."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.docs._commands import Command
from tests.docs._expect import difference, matches
from tests.docs._workplace import Workplace, end_group, read, start

BASH = ["bash", "-euo", "pipefail"]
_MARK = "\x01"
_FAILED_LINE = "DOCS_FAILED_LINE"
_READY_S = 60.0
_END_S = 30.0


def run_script(commands: Sequence[Command], workplace: Workplace) -> None:
    """Run the commands as one script, and compare what each printed with what the page shows.

    Raises:
        PageError: One failed, printed something else, or did not end in time.
    """
    script, failed_line, output = (workplace.fresh_file(kind) for kind in ("sh", "line", "out"))
    script.write_text(_script(commands), encoding="utf-8")
    process = start(
        [*BASH, str(script)],
        workplace=workplace,
        output=output,
        cwd=workplace.directory,
        **{_FAILED_LINE: str(failed_line)},
    )
    try:
        code = process.wait(workplace.remaining())
    except subprocess.TimeoutExpired:
        printed = read(output)
        problem = f"did not end in time:\n{printed.replace(_MARK, '')}"
        raise commands[0].block.error(problem, line=_last(commands, printed).line) from None
    finally:
        end_group(process, patience=_END_S)
    printed = read(output)
    if code:
        line = _failed_line(failed_line) or _last(commands, printed).line
        raise commands[0].block.error(f"ended with {code}:\n{printed.replace(_MARK, '')}", line=line)
    for command, text in zip(commands, printed.split(f"{_MARK}\n")[1:], strict=True):
        compare(command, text)


def _script(commands: Sequence[Command]) -> str:
    """Put each command on the line it has on the page, so that bash's line numbers are the page's."""
    lines = [f"""set -E; trap 'echo "$LINENO" >>"${_FAILED_LINE}"' ERR"""]
    for command in commands:
        lines.extend([""] * (command.line - 1 - len(lines)))
        lines.extend(f"echo {_MARK}; {command.text}".splitlines())
    return "\n".join(lines) + "\n"


def _failed_line(path: Path) -> int | None:
    # A failure in a subshell is told by the subshell first, then by the shell.
    return int(path.read_text().split()[0]) if path.exists() else None


def _last(commands: Sequence[Command], printed: str) -> Command:
    return commands[max(0, printed.count(_MARK) - 1)]


def compare(command: Command, printed: str) -> None:
    """Check what a command printed.

    Raises:
        PageError: It is not what the page shows.
    """
    if command.expected and not matches(command.expected, printed):
        raise command.block.error(
            f"printed something else:\n{difference(command.expected, printed)}", line=command.line
        )


@dataclass(frozen=True, slots=True)
class Background:
    """A command that runs until the end of the page."""

    command: Command
    process: subprocess.Popen[bytes]
    output: Path

    @classmethod
    def begin(cls, command: Command, workplace: Workplace) -> Background:
        """Start it, and wait until it has printed what the page shows, if it shows something.

        Raises:
            PageError: It ended or the time was up before.
        """
        output = workplace.fresh_file("out")
        run = [*BASH, "-c", command.text]
        process = start(run, workplace=workplace, output=output, cwd=workplace.directory)
        background = cls(command, process, output)
        try:
            background._wait_until_printed(time.monotonic() + workplace.remaining(_READY_S))
        except BaseException:
            end_group(process, patience=0.1)
            raise
        return background

    def _wait_until_printed(self, deadline: float) -> None:
        while self.command.expected and not matches(self.command.expected, read(self.output), is_prefix=True):
            if self.process.poll() is not None or time.monotonic() > deadline:
                shown = difference(self.command.expected, read(self.output))
                raise self.command.block.error(f"did not print this in time:\n{shown}", line=self.command.line)
            time.sleep(0.05)

    def end(self) -> None:
        """End it.

        Raises:
            PageError: It had failed before, or does not end when it is asked to.
        """
        code = self.process.poll()
        ended = end_group(self.process, patience=_END_S)
        if code:
            problem = f"ended with {code} before the end of the page"
        elif not ended:
            problem = f"did not end within {_END_S:g}s of SIGTERM"
        elif self.process.returncode not in (0, -signal.SIGTERM, 128 + signal.SIGTERM):
            problem = f"ended with {self.process.returncode} when asked to end"
        else:
            return
        raise self.command.block.error(f"{problem}:\n{read(self.output)}", line=self.command.line)


def child_of(pid: int) -> int | None:
    """Return the process id of the first child of `pid`."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    if children.exists():
        found = children.read_text().split()
    else:
        found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
    return int(found[0]) if found else None


def interrupt(pid: int) -> None:
    """Send what Ctrl-C sends."""
    os.kill(pid, signal.SIGINT)
