"""Run a page's Python blocks, one after the other, in one process that stays alive between them."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from tests.docs._blocks import Block
from tests.docs._workplace import Workplace, end_group, read

_WORKER = Path(__file__).with_name("_worker.py")
_END_S = 30.0
# Python only prints these, and each is a mistake of the page.
_COMPLAINTS = (
    "was never awaited",
    "exception was never retrieved",
    "Task was destroyed but it is pending",
    "Exception ignored in",
)


class PythonPage:
    """The process. Start it with the page's first Python block; `end` it at the end of the page."""

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace
        self._output = workplace.fresh_file("out")
        self._last: Block | None = None
        their_commands, self._commands = os.pipe()
        self._answers, their_answers = os.pipe()
        with self._output.open("wb") as sink:
            self._process = subprocess.Popen(
                [sys.executable, str(_WORKER), str(their_commands), str(their_answers)],
                cwd=workplace.directory,
                env=workplace.environ(),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                pass_fds=(their_commands, their_answers),
                start_new_session=True,
            )
        os.close(their_commands)
        os.close(their_answers)

    def run(self, block: Block) -> None:
        """Run one block.

        Raises:
            PageError: It raised, ended the process, or did not end in time.
        """
        self._last = block
        request = {"file": str(block.page.resolve()), "line": block.line, "text": block.text}
        os.write(self._commands, json.dumps(request).encode() + b"\n")
        answer = json.loads(self._read_answer(block))
        if answer["error"] is not None:
            printed = read(self._output)
            raise block.error(answer["error"] + (f"printed:\n{printed}" if printed else ""), line=answer["line"])

    def _read_answer(self, block: Block) -> bytes:
        answer = b""
        while not answer.endswith(b"\n"):
            ready, _, _ = select.select([self._answers], [], [], self._workplace.remaining())
            if not ready:
                self._show_where_it_hangs()
                raise block.error(f"did not end in time:\n{read(self._output)}")
            received = os.read(self._answers, 65536)
            if not received:
                code = self._process.wait()
                raise block.error(f"the Python process ended with {code}:\n{read(self._output)}")
            answer += received
        return answer

    def _show_where_it_hangs(self) -> None:
        self._process.send_signal(signal.SIGABRT)
        self._process.wait(5)

    def end(self) -> None:
        """Close the loop as `asyncio.run` does, and end the process.

        Raises:
            PageError: It did not end, or complained: a coroutine never awaited, a task's error that nobody saw.
        """
        os.close(self._commands)
        try:
            code = self._process.wait(self._workplace.remaining(_END_S))
        except subprocess.TimeoutExpired:
            code = None
        finally:
            os.close(self._answers)
            end_group(self._process, patience=1)
        printed = read(self._output)
        if self._last is not None and (code != 0 or any(complaint in printed for complaint in _COMPLAINTS)):
            how = "did not end" if code is None else f"ended with {code}"
            raise self._last.error(f"after the last block, Python {how}:\n{printed}")
