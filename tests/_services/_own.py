"""Start a server of our own, wait until it answers, end it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests._services._server import HOST, Launch, Server, Service

_READY_S = 30.0
_END_S = 10.0
_ATTEMPTS = 3
_LOG = "log"


class StartError(RuntimeError):
    """A server's own binaries could not start it; carries the end of what they printed."""


@contextmanager
def own_server(server: Server) -> Iterator[Service]:
    """Run one on a free port for the block.

    Raises:
        StartError: It ended by itself, or did not answer within its deadline.
    """
    # Not below pytest's directory, which only the user who runs the tests may enter.
    data_dir = Path(tempfile.mkdtemp(prefix=f"undercroft-{server.name}-"))
    try:
        process, port, version = _start(server, data_dir)
        try:
            yield Service(
                name=server.name,
                host=HOST,
                port=port,
                version=version,
                started_by_us=True,
                data_dir=data_dir,
                pid=process.pid,
            )
        finally:
            _end(process, server.end_with)
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)


def _start(server: Server, data_dir: Path) -> tuple[subprocess.Popen[bytes], int, str]:
    """Start it on a free port; on another one when somebody was faster to take the port."""
    problems = []
    for _ in range(_ATTEMPTS):
        port = free_port()
        home = data_dir / str(port)
        home.mkdir()
        process = _spawn(server.launch(port, home), home)
        try:
            return process, port, _wait_until_ready(server, process, port, home)
        except StartError as exc:
            problems.append(str(exc))
        except BaseException:
            _end(process)
            raise
        _end(process)
    raise StartError(f"{server.name} did not start: {problems[-1]}")


def _spawn(launch: Launch, home: Path) -> subprocess.Popen[bytes]:
    if launch.user is not None:
        home.parent.chmod(0o755)
        shutil.chown(home, user=launch.user)
    with (home / _LOG).open("ab") as log:
        if launch.prepare:
            done = subprocess.run(
                launch.prepare,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **_as_user(launch),
                cwd=home,
                env=_environ(launch),
                timeout=_READY_S * 2,
                check=False,
            )
            if done.returncode:
                raise StartError(f"{launch.prepare[0]} ended with {done.returncode}: {_tail(home)}")
        return subprocess.Popen(
            [*_dies_with_us(), *launch.command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            **_as_user(launch),
            cwd=home,
            env=_environ(launch),
            start_new_session=True,  # Ctrl-C is for pytest, which then ends the server
        )


def _as_user(launch: Launch) -> dict[str, Any]:
    return {"user": launch.user, "group": launch.user, "extra_groups": []} if launch.user else {}


def _environ(launch: Launch) -> dict[str, str]:
    return {**os.environ, **launch.environ}


def _dies_with_us() -> list[str]:
    """A prefix that ends the server also when the tests are killed; the process id stays the server's."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


def _wait_until_ready(server: Server, process: subprocess.Popen[bytes], port: int, home: Path) -> str:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise StartError(f"it ended with {process.returncode}: {_tail(home)}")
        version = server.probe(port)
        if version is not None:
            return version
        time.sleep(0.05)
    raise StartError(f"no answer on port {port} within {_READY_S:g}s: {_tail(home)}")


def _end(process: subprocess.Popen[bytes], end_with: signal.Signals = signal.SIGTERM) -> None:
    """End it and wait for it: politely, then not."""
    for sent in (end_with, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(sent)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_END_S)
            return


def _tail(home: Path) -> str:
    lines = (home / _LOG).read_text(errors="replace").splitlines()
    errors = [line for line in lines if "error" in line.lower()]
    return " | ".join((errors or lines)[-5:]) or "it printed nothing"


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
