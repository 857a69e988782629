"""What Python itself would print comes as lines."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from undercroft.logging import setup_logging

SetUp = Callable[..., Any]


def hooks() -> tuple[Any, ...]:
    return (sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning)


@pytest.fixture(autouse=True)
def hooks_are_left_alone() -> Iterator[None]:
    before = hooks()
    yield
    assert hooks() == before


def run(program: str) -> list[dict[str, Any]]:
    """Run a program that sets up logging, and return the lines it wrote."""
    begin = "from undercroft.logging import setup_logging\nsetup = setup_logging(format='json')\n"
    done = subprocess.run(
        [sys.executable, "-c", begin + program], capture_output=True, text=True, timeout=30, check=False
    )
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_the_exception_that_ends_the_program_is_a_critical_line() -> None:
    (line,) = run("raise ValueError('bad')")
    assert (line["level"], line["message"], line["error"]["type"]) == ("critical", "uncaught exception", "ValueError")
    assert line["error"]["message"] == "bad"


def test_the_exception_that_ends_a_thread_is_an_error_line() -> None:
    (line,) = run("import threading\nthread = threading.Thread(target=lambda: 1 / 0, name='mine')\nthread.start()")
    assert (line["level"], line["thread"], line["error"]["type"]) == ("error", "mine", "ZeroDivisionError")


def test_an_exception_in_a_finalizer_is_an_error_line() -> None:
    (line,) = run("class A:\n    def __del__(self): raise ValueError('bad')\nA()")
    assert (line["level"], line["error"]["type"]) == ("error", "ValueError")


def test_a_warning_is_a_warning_line() -> None:
    (line,) = run("import warnings\nwarnings.warn('old', DeprecationWarning)\nwarnings.warn('odd token=abc123')")[-1:]
    assert (line["level"], line["logger"], line["category"]) == ("warning", "py.warnings", "UserWarning")
    assert line["at"].endswith(":5")


def test_a_task_whose_exception_nobody_saw_is_an_error_line() -> None:
    (line,) = run(
        "import asyncio, gc\n"
        "async def fail(): raise ValueError('bad')\n"
        "async def main():\n"
        "    asyncio.create_task(fail())\n"
        "    await asyncio.sleep(0)\n"
        "    await asyncio.sleep(0)\n"
        "    gc.collect()\n"
        "asyncio.run(main())\n"
    )
    assert (line["level"], line["logger"], line["error"]["type"]) == ("error", "asyncio", "ValueError")
    assert line["message"].startswith("Task exception was never retrieved")


def test_ctrl_c_is_left_to_python() -> None:
    begin = "from undercroft.logging import setup_logging\nsetup_logging(format='json')\nraise KeyboardInterrupt"
    done = subprocess.run([sys.executable, "-c", begin], capture_output=True, text=True, timeout=30, check=False)
    assert done.stderr.startswith("Traceback")


def test_closing_gives_the_hooks_back() -> None:
    before = hooks()
    setup = setup_logging(format="json", uncaught=True)
    assert all(now != then for now, then in zip(hooks(), before, strict=True))
    setup.close()
    assert hooks() == before


def test_setups_closed_in_any_order_give_the_hooks_back() -> None:
    before = hooks()
    setups = [setup_logging(format="json", uncaught=True) for _ in range(3)]
    for setup in (setups[0], setups[2], setups[1]):
        setup.close()
    assert hooks() == before


def test_a_hook_that_someone_put_around_ours_stays_and_ours_steps_aside(lines: Any) -> None:
    seen: list[str] = []
    before = sys.excepthook
    sys.excepthook = lambda kind, exc, trace: seen.append(str(exc))
    setup = setup_logging(format="json", stream=lines, uncaught=True)
    ours = sys.excepthook
    theirs = lambda kind, exc, trace: ours(kind, exc, trace)  # noqa: E731 - a hook around a hook
    sys.excepthook = theirs
    setup.close()
    assert sys.excepthook is theirs
    theirs(ValueError, ValueError("bad"), None)
    sys.excepthook = before
    assert (seen, lines.written) == (["bad"], [])


def test_text_on_a_terminal_leaves_tracebacks_to_python(terminal: Any) -> None:
    before = hooks()
    with setup_logging(stream=terminal):
        assert hooks() == before
    with setup_logging(stream=terminal, uncaught=True):
        assert hooks() != before
