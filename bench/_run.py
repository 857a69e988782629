"""Run the scripts of a work in turns, and take medians."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from bench import _venv
from bench._frame import Script, Work

OURS = "undercroft"
Say = Callable[[str], None]


class RunError(RuntimeError):
    """One run gave no value; the text is the reason."""


@dataclass(slots=True)
class Contender:
    """Ours or a peer, during one measurement."""

    name: str
    script: Script
    python: Path | None = None
    values: list[float] = field(default_factory=list)
    settings: Mapping[str, object] = field(default_factory=dict)
    problem: str | None = None
    """Why it has no value; it takes no further part."""

    @property
    def median(self) -> float | None:
        return statistics.median(self.values) if self.values and self.problem is None else None


def measure(work: Work, *, rounds: int, quick: bool = False, say: Say = lambda _: None) -> list[Contender]:
    """Run ours and every peer `rounds` times, in turns; return ours first, then the peers in their order.

    First each runs once without being timed. Each round begins with another contender, so that none is always the one
    after the busiest. One that fails is out, with its reason; the others go on.
    """
    contenders = _prepared(work, say)
    for number in range(-1, rounds):
        say(f"{work.name}: {'warm-up' if number < 0 else f'round {number + 1} of {rounds}'}")
        for contender in _turn(contenders, number):
            _run_once(contender, work, is_timed=number >= 0, quick=quick)
    return contenders


def _turn(contenders: list[Contender], number: int) -> list[Contender]:
    first = max(0, number) % len(contenders)
    return contenders[first:] + contenders[:first]


def _prepared(work: Work, say: Say) -> list[Contender]:
    ours = Contender(OURS, work.ours)
    peers = [(Contender(name, peer.script), peer.requirements) for name, peer in work.peers.items()]
    say(f"{work.name}: environments")
    with _out_on_error(ours):
        ours.python = Path(sys.executable) if work.ours_extras is None else _venv.ours(work.ours_extras)
    for contender, requirements in peers:
        with _out_on_error(contender):
            contender.python = _venv.interpreter(requirements)
    return [ours, *(contender for contender, _ in peers)]


@contextlib.contextmanager
def _out_on_error(contender: Contender) -> Iterator[None]:
    try:
        yield
    except (RunError, _venv.VenvError) as exc:
        contender.problem = str(exc)


def _run_once(contender: Contender, work: Work, *, is_timed: bool, quick: bool) -> None:
    if contender.python is None or contender.problem is not None:
        return
    with _out_on_error(contender):
        value, contender.settings = run_script(contender.python, contender.script, work.deadline_s, quick=quick)
        if is_timed:
            contender.values.append(value)


def run_script(python: Path, script: Script, deadline_s: float, *, quick: bool) -> tuple[float, Mapping[str, object]]:
    """Run `script` in an empty directory and return its value and settings.

    Raises:
        RunError: It failed, printed no value, or did not end in time. Whatever it started is ended with it.
    """
    # Files, not pipes: what the script started may hold a pipe open after its end.
    with (
        tempfile.TemporaryDirectory(prefix="undercroft-bench-") as directory,
        tempfile.TemporaryFile("w+") as printed,
        tempfile.TemporaryFile("w+") as complaints,
    ):
        process = subprocess.Popen(
            [str(python), str(script.file), *script.args],
            cwd=directory,
            env=_environ(quick),
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=complaints,
            start_new_session=True,
        )
        try:
            code = process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise RunError(f"no end after {deadline_s:g}s") from None
        finally:
            _end_group(process)
        if code:
            raise RunError(f"ended with {code}: {_last_line(complaints)}")
        return _read(_last_line(printed))


def _environ(quick: bool) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("UNDERCROFT_", "PYTHON"))}
    return {**kept, "BENCH_QUICK": "1" if quick else ""}


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _read(line: str) -> tuple[float, Mapping[str, object]]:
    try:
        answer = json.loads(line)
        value, settings = float(answer["value"]), dict(answer.get("settings", {}))
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise RunError(f'its last line is not {{"value": …}} but {line!r}') from exc
    if not math.isfinite(value):
        raise RunError(f"its value is {value}")
    return value, settings


def _last_line(output: TextIO) -> str:
    output.seek(0)
    lines = output.read().strip().splitlines()
    return lines[-1] if lines else "it printed nothing"
