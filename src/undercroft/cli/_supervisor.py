"""The parent of `undercroft dev`: keeps one child that serves, and a new one after each change."""

from __future__ import annotations

import math
import os
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Self

from undercroft.cli._dev_options import DevOptions
from undercroft.cli._exit_codes import ExitCode, forced_by
from undercroft.cli._signals import BOTH, SAME_REQUEST_S
from undercroft.cli._watch import Watch

_PATIENCE_S = 10.0
"""How long a child may take to end: its grace, and closing what it has open. Then it is killed."""
_ASKED_TO_END = (ExitCode.OK, ExitCode.TERMINATED, -signal.SIGTERM)
_SHOWN = 3


def supervise(options: DevOptions, listener: socket.socket) -> int:
    """Serve until SIGINT or SIGTERM; return the exit code.

    A child that ends by itself, because of a syntax error for example, is waited out until the next change; only when
    APP was wrong from the start is there nothing to wait for.
    """
    home = Path(os.environ.get("UNDERCROFT_HOME") or ".undercroft")
    watch = Watch(Path.cwd(), skipped=(home,))
    with Alarm() as alarm:
        return _Supervisor(options, listener, alarm).run(watch)


class Alarm:
    """SIGINT and SIGTERM are counted, and like SIGCHLD they cut a `wait` short. Used by the main thread only."""

    def __init__(self) -> None:
        self.count = 0
        self.last: int = signal.SIGINT
        self._counted_at = -math.inf

    def __enter__(self) -> Self:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, self._ring)
        return self

    def __exit__(self, *exc_info: object) -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in BOTH:  # the process is about to end: another signal must not spoil its exit code
            signal.signal(number, signal.SIG_IGN)
        os.close(self._read)
        os.close(self._write)

    def wait(self, seconds: float) -> None:
        """Return after `seconds`, or at once when a signal came since the last wait."""
        if select.select([self._read], [], [], seconds)[0]:
            os.read(self._read, 4096)

    def _ring(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        # Further apart than the child wants them, so that it takes what is passed on for two requests as well.
        if number != signal.SIGCHLD and now - self._counted_at > 2 * SAME_REQUEST_S:
            self.count += 1
            self.last = number
            self._counted_at = now
        try:
            os.write(self._write, b"!")
        except BlockingIOError:
            return  # so many that one more does not matter


class _Supervisor:
    def __init__(self, options: DevOptions, listener: socket.socket, alarm: Alarm) -> None:
        self._options = options
        self._listener = listener
        self._alarm = alarm
        self._child: subprocess.Popen[bytes] | None = None
        self._starts = 0

    def run(self, watch: Watch) -> int:
        self._start()
        try:
            while not self._alarm.count:
                self._alarm.wait(watch.pause_s)
                code = self._noticed_end()
                if code == ExitCode.USAGE and self._starts == 1:
                    return code
                if code is not None:
                    _say(f"the application ended with {_ending(code)}; waiting for a change")
                changed = watch.changes()
                if changed and not self._alarm.count:
                    self._restart(changed, watch)
        finally:
            code = self._stop()
        return self._exit_code(code)

    def _start(self, *, is_restart: bool = False) -> None:
        descriptor = self._listener.fileno()
        options = replace(self._options, is_restart=is_restart)
        arguments = [options.to_json(), str(descriptor), str(os.getpid())]
        command = [sys.executable, "-m", "undercroft.cli._dev_child", *arguments]
        self._child = subprocess.Popen(command, pass_fds=[descriptor])
        self._starts += 1

    def _restart(self, changed: list[str], watch: Watch) -> None:
        more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        _say(f"{', '.join(changed[:_SHOWN])}{more}: restarting")
        was_alive = self._child is not None
        self._stop()
        watch.changes()  # what was changed meanwhile, the new child will see
        if not self._alarm.count:
            self._start(is_restart=was_alive)

    def _noticed_end(self) -> int | None:
        """Return the exit code of a child that has ended by itself, once."""
        code = self._child.poll() if self._child is not None else None
        if code is not None:
            self._child = None
        return code

    def _stop(self) -> int:
        """Ask the child to end, insist when we are insisted upon, and kill it by its pid when its time is up."""
        child, self._child = self._child, None
        if child is None:
            return ExitCode.OK
        child.terminate()
        deadline, has_insisted = time.monotonic() + _PATIENCE_S, False
        while child.poll() is None:
            if time.monotonic() > deadline or self._alarm.count > 2:
                _say("the application does not end, so it is killed")
                child.kill()
                return child.wait()
            if self._alarm.count > 1 and not has_insisted:
                child.terminate()
                has_insisted = True
            self._alarm.wait(0.1)
        return child.wait()

    def _exit_code(self, code: int) -> int:
        if self._alarm.count > 1:
            return forced_by(self._alarm.last)
        if code in _ASKED_TO_END:
            return ExitCode.OK
        return code if code > 0 else ExitCode.FAILED


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def _say(text: str) -> None:
    print(f"  {'reload':9} {text}", flush=True)
