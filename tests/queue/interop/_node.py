"""Node with the bullmq package: installed once, then one process that does what it is told in JSON."""

from __future__ import annotations

import fcntl
import hashlib
import json
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import anyio.to_thread

FOLDER = Path(__file__).parent
_MODULES = FOLDER / "node_modules"
_STAMP = _MODULES / ".undercroft"
_INSTALL_S = 300.0
_ANSWER_S = 20.0


class NodeError(RuntimeError):
    """An operation threw in Node, or Node did not answer."""


def install() -> None:
    """Install what `package.json` names, unless it is there; at most one process at a time does so.

    Raises:
        NodeError: Node or npm is missing, or npm failed.
    """
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise NodeError(f"these tests run BullMQ's npm package, and there is no {program} on this machine")
    wanted = hashlib.sha256((FOLDER / "package.json").read_bytes()).hexdigest()
    with (FOLDER / ".install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _STAMP.is_file() and _STAMP.read_text() == wanted:
            return
        shutil.rmtree(_MODULES, ignore_errors=True)
        command = ["npm", "install", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
        if done.returncode:
            raise NodeError(f"npm install failed:\n{done.stdout}{done.stderr}")
        _STAMP.write_text(wanted)


class Node:
    """One Node process, from `start` to `stop` or `kill`. Answers one request at a time; see `bridge.mjs`."""

    def __init__(self, port: int, prefix: str, log: Path) -> None:
        self._log = log
        self._lock = anyio.Lock()
        self._rest = b""
        with log.open("ab") as stderr:
            self._process = subprocess.Popen(
                ["node", str(FOLDER / "bridge.mjs"), str(port), prefix],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                bufsize=0,
            )

    async def __call__(self, op: str, **args: Any) -> Any:
        """Have an operation done and return what it returned."""
        request = json.dumps({"op": op, **args}).encode() + b"\n"
        async with self._lock:
            reply = await anyio.to_thread.run_sync(self._exchange, request)
        if "error" in reply:
            raise NodeError(f"{op}: {reply['error']}")
        return reply["ok"]

    def _exchange(self, request: bytes) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(request)
        deadline = time.monotonic() + _ANSWER_S
        while b"\n" not in self._rest:
            readable, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            read = self._process.stdout.read(1 << 16) if readable else b""
            if not read:
                raise NodeError(f"no answer to {request[:200]!r}; it wrote: {self._log.read_text()[-2000:]}")
            self._rest += read
        line, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        self._close()

    def stop(self) -> None:
        """End it in order."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._close()

    def _close(self) -> None:
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
