"""version, explain, demo and help: commands that look at the installation only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import undercroft
from tests.cli._process import environment, run
from undercroft.cli._group import commands


def test_version_in_json(tmp_path: Path) -> None:
    done = run("version", "--json", cwd=tmp_path)
    facts = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert facts["undercroft"] == undercroft.__version__
    assert set(facts) == {"undercroft", "python", "platform", "sqlite", "extras"}
    assert facts["extras"]["cli"] is True


def test_version_for_people(tmp_path: Path) -> None:
    lines = run("version", cwd=tmp_path).stdout.splitlines()
    assert lines[0].split() == ["undercroft", undercroft.__version__]
    assert all(len(line) <= 80 for line in lines)


def test_version_loads_no_application_parts(tmp_path: Path) -> None:
    code = "import sys; from undercroft.cli import main; main(['version']); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert loaded & {"undercroft.app", "undercroft.queue", "undercroft.email", "uvicorn", "anyio", "asyncio"} == set()


def test_explain_in_json(tmp_path: Path) -> None:
    facts = json.loads(run("explain", "UC1203", "--json", cwd=tmp_path).stdout)
    assert facts["name"] == "JobNotRegisteredError"
    assert facts["module"] == "undercroft.queue"
    assert facts["kind"] == "misuse"
    assert facts["bases"] == ["UndercroftError", "LookupError"]
    assert "undercroft.queue._facade._unknown" in facts["raised_in"]
    assert facts["doc"].startswith("No job of this name")


@pytest.mark.parametrize("written", ["uc1203", "1203"])
def test_explain_takes_a_code_as_people_write_it(written: str, tmp_path: Path) -> None:
    assert run("explain", written, cwd=tmp_path).stdout.startswith("UC1203 JobNotRegisteredError: misuse")


def test_explain_tells_errors_of_one_name_apart(tmp_path: Path) -> None:
    places = json.loads(run("explain", "UC3101", "--json", cwd=tmp_path).stdout)["raised_in"]
    assert places == ["undercroft.cli._address._taken"]


def test_unknown_code_names_near_ones(tmp_path: Path) -> None:
    done = run("explain", "UC1293", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "error: UC3108" in done.stderr
    assert "UC1213" in done.stderr.splitlines()[1]


def test_codes_are_declared_once(tmp_path: Path) -> None:
    from undercroft._core.errors import UndercroftError
    from undercroft.cli._catalogue import _all_errors, find_error

    find_error("UC0000")
    ours = [error for error in set(_all_errors(UndercroftError)) if error.__module__.startswith("undercroft.")]
    codes = [error.code for error in ours]
    assert len(codes) > 30
    assert sorted(codes) == sorted(set(codes))


def _all_commands() -> list[list[str]]:
    names = [[name] for name in commands.commands]
    return [[], *names, ["config", "show"], ["db", "ping"]]


@pytest.mark.parametrize("command", _all_commands(), ids=" ".join)
def test_every_command_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from undercroft.cli import main

    assert main([*command, "--help"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Usage: undercroft")
    assert all(len(line) <= 80 for line in printed.splitlines())


def test_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    from undercroft.cli import main

    main(["--help"])
    printed = capsys.readouterr().out
    assert "Exit codes:\n      0  done" in printed
    assert "130  forced to end by SIGINT (143 by SIGTERM)" in printed
