"""A virtual environment for each set of requirements, made once and kept in a cache."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench._frame import ROOT

_READY = ".ready"
_INSTALL_S = 900.0
Install = Callable[[Path, Sequence[str]], None]


class VenvError(RuntimeError):
    """An environment could not be made; carries the end of what was printed."""


def cache_directory() -> Path:
    """Return `$UNDERCROFT_BENCH_CACHE`, or `~/.cache/undercroft/bench`."""
    chosen = os.environ.get("UNDERCROFT_BENCH_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "undercroft" / "bench"


def ours(extras: Sequence[str]) -> Path:
    """Return the interpreter of an environment with this checkout, editable, and nothing else but its dependencies."""
    named = f"[{','.join(sorted(extras))}]" if extras else ""
    # A changed pyproject.toml needs another environment; changed code does not.
    project = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    return interpreter(["-e", f"{ROOT}{named}"], salt=project)


def interpreter(requirements: Sequence[str], *, salt: str = "", install: Install | None = None) -> Path:
    """Return the interpreter of the environment with `requirements`, made if it is not there.

    Two processes never make the same one at once. One whose making was interrupted is not marked as ready, and is
    made again from the beginning.

    Raises:
        VenvError: It could not be made.
    """
    directory = cache_directory() / _key(requirements, salt)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _locked(directory.with_suffix(".lock")):
        if not (directory / _READY).exists():
            shutil.rmtree(directory, ignore_errors=True)
            (install or _install)(directory, requirements)
            (directory / _READY).touch()
    return directory / "bin" / "python"


def _key(requirements: Sequence[str], salt: str) -> str:
    named = json.dumps([*requirements, salt, sys.version, sys.base_prefix])
    return hashlib.sha256(named.encode()).hexdigest()[:24]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # given back by the system when this process ends, however it ends
        yield


def _install(directory: Path, requirements: Sequence[str]) -> None:
    if not requirements:
        _run([sys.executable, "-m", "venv", "--without-pip", str(directory)])
        return
    _run([sys.executable, "-m", "venv", str(directory)])
    pip = [str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, *requirements])


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
    except subprocess.TimeoutExpired as exc:
        raise VenvError(f"no end after {_INSTALL_S:g}s: {' '.join(command)}") from exc
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise VenvError(f"{' '.join(command[-3:])}: {lines[-1] if lines else f'ended with {done.returncode}'}")
