"""The public types, as a type checker sees them: `mypy --strict` over every `*_cases.py` of this directory.

A line that must be an error says which: `enqueue(job, "five")  # E: arg-type`, several codes with commas. Every error
must be on such a line, with that code, and every such line must have its error; so `assert_type(x, int)` on a line
without a mark is a promise too. The cases are read by mypy and never run.
"""

from __future__ import annotations

import difflib
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CASES = sorted(HERE.glob("*_cases.py"))

_MARK = re.compile(r"#\s*E:\s*([\w-]+(?:\s*,\s*[\w-]+)*)")


def declared_errors(cases: Sequence[Path]) -> set[str]:
    """Return what the marks say, as lines `file:line: code`."""
    return {
        f"{path.name}:{number:04}: {code.strip()}"
        for path in cases
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        for mark in _MARK.finditer(line)
        for code in mark[1].split(",")
    }


def found_errors(cases: Sequence[Path], cache: Path) -> dict[str, str]:
    """Return what mypy says about the cases, in one run: lines as above, and the message of each.

    Errors elsewhere are `make check`'s business.
    """
    options = [
        "--strict",
        "--output=json",
        "--follow-imports=silent",
        f"--cache-dir={cache}",
        "--config-file=pyproject.toml",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *map(str, cases)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode in (0, 1), f"mypy could not run:\n{done.stdout}{done.stderr}"
    reports = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    names = {str(path.resolve()): path.name for path in cases}
    return {
        f"{names[file]}:{report['line']:04}: {report['code']}": report["message"]
        for report in reports
        if report["severity"] == "error" and (file := str((ROOT / report["file"]).resolve())) in names
    }


def disagreement(cases: Sequence[Path], cache: Path) -> str:
    """Return how the marks and mypy differ, as a diff; empty when they agree."""
    declared, found = declared_errors(cases), found_errors(cases, cache)
    lines = difflib.unified_diff(sorted(declared), sorted(found), "marked", "found by mypy", lineterm="", n=0)
    return "\n".join(_explained(line, found) for line in lines if not line.startswith("@@"))


def _explained(line: str, found: dict[str, str]) -> str:
    message = found.get(line[1:]) if line.startswith("+") else None
    return f"{line}  {message}" if message else line


@pytest.mark.timeout(300)
@pytest.mark.skipif(not CASES, reason="there are no cases yet")
def test_types_are_what_the_cases_say(tmp_path: Path) -> None:
    assert CASES
    difference = disagreement(CASES, tmp_path)
    if difference:
        pytest.fail(difference, pytrace=False)


SAMPLE = """
good: int = 1
marked: int = "x"  # E: assignment
two: list[int] = len(5)  # E: assignment,arg-type , call-arg
unmarked: int = "y"
missing: int = 2  # E: assignment
other: int = "z"  # E: arg-type
"""


@pytest.mark.timeout(120)
def test_runner_shows_every_disagreement(tmp_path: Path) -> None:
    case = tmp_path / "sample_cases.py"
    case.write_text(SAMPLE)
    lines = disagreement([case], tmp_path / "cache").splitlines()[2:]
    shown = [line.partition("  ")[0] for line in lines]
    assert sorted(shown) == [
        "+sample_cases.py:0005: assignment",
        "+sample_cases.py:0007: assignment",
        "-sample_cases.py:0004: call-arg",
        "-sample_cases.py:0006: assignment",
        "-sample_cases.py:0007: arg-type",
    ]
    assert any("expression has type" in line for line in lines)
