"""The demonstration as a command."""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path

import anyio

from undercroft._core.codec import to_json
from undercroft.app import Infra
from undercroft.demo._drive import Result, run_drill
from undercroft.demo._processes import Processes, environment
from undercroft.demo._report import as_table


def main(*, port: int | None = None, once: bool = False, json_output: bool = False) -> int:
    """Run the demonstration; return 0 if everything held and 1 if not.

    Args:
        port: Where the shop listens; a free port when it is left out.
        once: Stop after the drill instead of serving on.
        json_output: Print one JSON object and nothing else to standard output.

    Raises:
        ConfigError: The environment asks for something that is not there, or the port is taken.
        DemoFailedError: A process of the shop ended, or did not answer in time.
    """
    with tempfile.TemporaryDirectory(prefix="undercroft-demo-", ignore_cleanup_errors=True) as home:
        return anyio.run(_run, Path(home), port, once, json_output)


async def _run(home: Path, port: int | None, once: bool, json_output: bool) -> int:
    observer = Infra(environ=environment(home), log_level="warning")
    async with Processes(home, port) as processes, observer:
        if not json_output:
            _say(f"The shop is starting with two workers, in {home}")
        result = await run_drill(processes, observer)
        problems = result.problems()
        _print(result, problems, json_output=json_output)
        if not once:
            _say(f"\nThe shop goes on at {processes.url}   (sign up, see the mails; Ctrl-C stops it)")
            _say(f"Look at what happens: UNDERCROFT_HOME={home} undercroft trace, logs -f, health")
            await _wait_for_signal()
            _say("stopping")
    return 1 if problems else 0


def _print(result: Result, problems: list[str], *, json_output: bool) -> None:
    if json_output:
        sys.stdout.write(to_json(result).decode() + "\n")
    else:
        _say(as_table(result))
        for problem in problems:
            _say(f"  NOT HELD: {problem}")
    sys.stdout.flush()


async def _wait_for_signal() -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            return


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
