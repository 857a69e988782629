"""What scripts and supervisors rely on."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli._process import environment, run
from undercroft._core.errors import ConfigError, InvalidDataError, MissingExtraError, NotBoundError, UndercroftError
from undercroft.cli._errors import (
    AppAttributeError,
    AppRaisedError,
    PortTakenError,
    ServerFailedError,
    UnknownCodeError,
)
from undercroft.cli._exit_codes import exit_code_of, forced_by
from undercroft.cli._report import RunOptions, reported
from undercroft.queue import QueueUnavailableError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AppRaisedError("x"), 1),
        (ServerFailedError("x"), 1),
        (AppAttributeError("x"), 2),
        (UnknownCodeError("x"), 2),
        (ConfigError("x"), 3),
        (MissingExtraError("x"), 3),
        (NotBoundError("x"), 3),
        (QueueUnavailableError("x"), 4),
        (PortTakenError("x", port=1, next_free=2, hint="y"), 4),
        (InvalidDataError("x"), 5),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_error_has_its_exit_code(error: UndercroftError, code: int) -> None:
    assert exit_code_of(error) == code


def test_forced_end_is_128_plus_the_signal() -> None:
    assert forced_by(signal.SIGINT) == 130
    assert forced_by(signal.SIGTERM) == 143


def test_unknown_exception_is_a_bug_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise ZeroDivisionError("by hand")

    assert reported(fail, RunOptions()) == 70
    printed = capsys.readouterr()
    assert "Traceback" in printed.err
    assert "bug in undercroft" in printed.err
    assert printed.out == ""


def test_group_of_our_errors_is_printed_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise ExceptionGroup("closing failed", [QueueUnavailableError("first"), QueueUnavailableError("second")])

    assert reported(fail, RunOptions()) == 4
    assert capsys.readouterr().err == "error: UC1205 first\nerror: UC1205 second\n"


def test_wrong_command_line_is_usage(tmp_path: Path) -> None:
    assert run("bogus", cwd=tmp_path).returncode == 2
    assert run("worker", cwd=tmp_path).returncode == 2
    assert run("worker", "app", "--grace", "soon", cwd=tmp_path).returncode == 2


def test_wrong_settings_are_configuration_and_all_are_named(tmp_path: Path) -> None:
    done = run("check", cwd=tmp_path, UNDERCROFT_QUEUE="nonsense", LOG_LEVEL="loud")
    assert done.returncode == 3
    assert "UC0202 UNDERCROFT_QUEUE is not a URL" in done.stderr
    assert "LOG_LEVEL" in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback_too(tmp_path: Path) -> None:
    for arguments in (["--debug", "check"], ["check", "--debug"]):
        done = run(*arguments, cwd=tmp_path, LOG_LEVEL="loud")
        assert done.returncode == 3
        assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    ("package", "extra", "command"), [("click", "cli", ["version"]), ("uvicorn", "server", ["dev", "app:app"])]
)
def test_package_that_is_missing_is_told_with_its_pip_line(
    package: str, extra: str, command: list[str], tmp_path: Path
) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; from undercroft.cli import main; sys.exit(main({command}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert f"pip install 'undercroft[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr
