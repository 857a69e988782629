"""The Makefile, in a copy whose path has a space, with a Python that only writes down what it is asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")

PYTHON = """#!/bin/sh
case "$1 $2" in
    "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    -c*) exec "{real}" "$@" ;;
    *) echo "$@" >>"{log}"; echo "pip says something" ;;
esac
"""
UNDERCROFT = """#!/bin/sh
echo "{\\"ran\\": \\"$*\\"}"
"""


class Checkout:
    def __init__(self, directory: Path) -> None:
        self.directory = directory / "a check out"
        self.directory.mkdir()
        self._log = directory / "log"
        self.python = directory / "python"
        self.write_python(sys.executable)
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy(ROOT / name, self.directory)
        binaries = self.directory / ".venv" / "bin"
        binaries.mkdir(parents=True)
        (binaries / "undercroft").write_text(UNDERCROFT)
        (binaries / "undercroft").chmod(0o755)

    def write_python(self, real: str) -> None:
        self.python.write_text(PYTHON.format(real=real, log=self._log))
        self.python.chmod(0o755)

    @property
    def installed(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        hidden = ("MAKE", "MFLAGS", "PYTHON", "UNDERCROFT")
        return subprocess.run(
            ["make", f"PYTHON={self.python}", *arguments],
            cwd=self.directory,
            env={name: value for name, value in os.environ.items() if not name.startswith(hidden)},
            capture_output=True,
            text=True,
            check=False,
            timeout=50,
        )


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_help_is_the_default_and_lists_every_command(checkout: Checkout) -> None:
    done = checkout.make()
    assert done.returncode == 0
    for target in ("demo", "test", "check", "bench", "docs", "clean", "help"):
        assert f"  make {target} " in done.stdout
    assert checkout.installed == []


def test_demo_prints_what_the_command_prints_and_nothing_else(checkout: Checkout) -> None:
    done = checkout.make("demo", "ARGS=--once --json")
    assert done.stdout == '{"ran": "demo --once --json"}\n'
    assert done.returncode == 0
    assert "pip says something" in done.stderr


def test_nothing_is_installed_twice_until_the_project_changes(checkout: Checkout) -> None:
    checkout.make("demo")
    assert [line for line in checkout.installed if "-e" in line] == [
        "-m pip install --quiet --disable-pip-version-check -e .[demo]"
    ]
    before = len(checkout.installed)
    checkout.make("demo")
    assert len(checkout.installed) == before
    stamp = (checkout.directory / ".venv/.demo-stamp").stat().st_mtime
    os.utime(checkout.directory / "pyproject.toml", (stamp + 5, stamp + 5))
    checkout.make("demo")
    assert len(checkout.installed) == before + 1


def test_tests_install_everything_and_leave_nothing_for_the_demo(checkout: Checkout) -> None:
    done = checkout.make("test", "-j", "ARGS=-k one")
    assert done.returncode == 0
    assert checkout.installed[-2:] == [
        "-m pip install --quiet --disable-pip-version-check -e .[all] --group dev",
        "-m pytest -n 2 -k one",
    ]
    checkout.make("demo")
    assert len(checkout.installed) == 3


def test_bench_gets_its_arguments(checkout: Checkout) -> None:
    checkout.make("bench", "ARGS=spine --json")
    assert checkout.installed[-1] == "-m bench spine --json"


@pytest.mark.parametrize(("code", "found"), [("echo 3.9", "is Python 3.9"), ("exit 1", "is not a Python that runs")])
def test_wrong_python_is_one_line_that_says_what_to_do(checkout: Checkout, code: str, found: str) -> None:
    checkout.python.write_text(f'#!/bin/sh\ncase "$2" in *version_info*:2*) {code} ;; *) echo ;; esac\n')
    done = checkout.make("demo")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert found in line
    assert "undercroft needs 3.11 or newer" in line
    assert "make demo PYTHON=python3.12" in line


def test_clean_removes_the_environment(checkout: Checkout) -> None:
    for name in ("bench", "src", "tests"):
        (checkout.directory / name / "__pycache__").mkdir(parents=True)
    assert checkout.make("clean").returncode == 0
    assert not (checkout.directory / ".venv").exists()
    assert not [*checkout.directory.rglob("__pycache__")]
    assert (checkout.directory / "pyproject.toml").exists()
