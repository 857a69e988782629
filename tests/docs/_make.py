"""Run `make` commands, in the root of the repository."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.docs._commands import Command
from tests.docs._shell import BASH, child_of, compare, interrupt
from tests.docs._workplace import ROOT, Workplace, end_group, read, start

# `make test` is what runs this; the others would lint, measure or remove the repository under it. CI runs them.
LOOKED_UP = frozenset({"test", "check", "lint", "format", "types", "floors", "bench", "clean"})
UNDER_MAKE_TEST = os.environ.get("UNDERCROFT_MAKE_TEST") == "1"  # read before a test's environment is cleaned
_DEMO_ADDRESS = "http://127.0.0.1:"
_DEMO_START_S = 60.0
_DEMO_END_S = 30.0


def run_make(command: Command, workplace: Workplace) -> None:
    """Do what `make …` would.

    Raises:
        PageError: There is no such target, or it failed, or it printed something else.
    """
    words = shlex.split(command.text, comments=True)[1:]
    goals = {word for word in words if "=" not in word and not word.startswith("-")}
    if goals & LOOKED_UP:
        _look_up(command, workplace, goals)
    elif "demo" in goals and "--once" not in command.text:
        _run_demo(command, workplace)
    else:
        _run(command, workplace)


def _look_up(command: Command, workplace: Workplace, goals: set[str]) -> None:
    if command.expected:
        problem = f"`{command.text}` is looked up, not run, so its output cannot be checked: show it as text"
        raise command.block.error(problem, line=command.line)
    if goals == {"test"} and UNDER_MAKE_TEST:
        return
    done = _finish(command, workplace, "-n")
    if done.code:
        raise command.block.error(f"make has no such command:\n{done.printed}", line=command.line)


def _run(command: Command, workplace: Workplace) -> None:
    done = _finish(command, workplace)
    if done.code:
        raise command.block.error(f"ended with {done.code}:\n{done.printed}", line=command.line)
    compare(command, done.printed)


class _Done:
    def __init__(self, code: int, printed: str) -> None:
        self.code = code
        self.printed = printed


def _finish(command: Command, workplace: Workplace, *options: str) -> _Done:
    process, output = _start(command, workplace, *options)
    try:
        return _Done(process.wait(workplace.remaining()), read(output))
    except subprocess.TimeoutExpired:
        raise command.block.error("did not end in time", line=command.line) from None
    finally:
        end_group(process, patience=1)


def _run_demo(command: Command, workplace: Workplace) -> None:
    """Start the demo, wait for its address, press Ctrl-C, and expect an orderly end."""
    with _only_one_demo(workplace.remaining()):
        process, output = _start(command, workplace)
        try:
            if not _wait_for(_DEMO_ADDRESS, output, process, workplace.remaining(_DEMO_START_S)):
                problem = f"the demo did not print {_DEMO_ADDRESS}… in time:\n{read(output)}"
                raise command.block.error(problem, line=command.line)
            # Not to make, which ends itself on SIGINT: what counts is how the demo ends.
            interrupt(child_of(process.pid) or process.pid)
            code = process.wait(_DEMO_END_S)
        except subprocess.TimeoutExpired:
            problem = f"the demo did not end within {_DEMO_END_S:g}s of SIGINT:\n{read(output)}"
            raise command.block.error(problem, line=command.line) from None
        finally:
            end_group(process, patience=1)
    if code:
        raise command.block.error(f"the demo ended with {code} on SIGINT:\n{read(output)}", line=command.line)
    compare(command, read(output))


def _start(command: Command, workplace: Workplace, *options: str) -> tuple[subprocess.Popen[bytes], Path]:
    output = workplace.fresh_file("out")
    # The environment that runs the tests is the one make uses, and it is not installed into while they run.
    venv = os.path.relpath(sys.prefix, ROOT) if Path(sys.prefix).is_relative_to(ROOT) else sys.prefix
    stamps = [word for stamp in ("demo", "dev") for word in ("-o", f"{venv}/.{stamp}-stamp")]
    fixed = shlex.join([f"VENV={venv}", *stamps, *options])
    text = re.sub(r"^make", lambda _: f"exec make {fixed}", command.text)
    more = {"UNDERCROFT_HOME": str(workplace.scratch / "undercroft")}
    return start([*BASH, "-c", text], workplace=workplace, output=output, cwd=ROOT, **more), output


def _wait_for(text: str, output: Path, process: subprocess.Popen[bytes], patience: float) -> bool:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if text in read(output):
            return process.poll() is None
        if process.poll() is not None:
            return False
        time.sleep(0.05)
    return False


@contextmanager
def _only_one_demo(patience: float) -> Iterator[None]:
    """Hold a lock of this user: two pages' demos at once would want the same port."""
    deadline = time.monotonic() + patience
    lock = Path(tempfile.gettempdir()) / f"undercroft-docs-demo-{os.getuid()}.lock"
    with lock.open("w") as held:
        while time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(0.1)
        yield
