"""Look up `pip install` lines: installing would change the environment that the tests run in."""

from __future__ import annotations

import re
import shlex
import tomllib
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement

from tests.docs._commands import Command
from tests.docs._workplace import ROOT


def check_pip(command: Command) -> None:
    """Check a `pip install` line: our extras must exist, and other packages be among what the tests run with.

    Raises:
        PageError: An extra that pyproject.toml does not have, or a package that is not installed here.
    """
    words = re.split(r"\binstall\b|\badd\b", command.text, maxsplit=1)[1]
    for word in shlex.split(words, comments=True):
        if not word.startswith("-"):
            problem = _problem_of(word)
            if problem is not None:
                raise command.block.error(problem, line=command.line)


def _problem_of(word: str) -> str | None:
    try:
        wanted = Requirement(word)
    except InvalidRequirement as exc:
        return f"{word!r} is not a requirement: {exc}"
    if wanted.name == "undercroft":
        unknown = sorted(wanted.extras - _extras())
        return (
            f"undercroft has no extra {', '.join(unknown)}; it has {', '.join(sorted(_extras()))}" if unknown else None
        )
    try:
        metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return f"{wanted.name} is not installed here, so nothing on this page is tested with it"
    return None


def _extras() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return set(project["project"]["optional-dependencies"])
