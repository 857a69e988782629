"""`undercroft version`."""

from __future__ import annotations

import platform
import re
import sqlite3
from importlib import metadata

import click

from undercroft import __version__
from undercroft.cli._options import debug_option, json_option
from undercroft.cli._output import print_json, print_table

_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+).*;.*\bextra == ['\"](?P<extra>[^'\"]+)['\"]")


@click.command()
@json_option
@debug_option
def version(*, as_json: bool) -> None:
    """Print versions, and which extras are installed."""
    extras = _extras()
    facts = {
        "undercroft": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "sqlite": sqlite3.sqlite_version,
    }
    if as_json:
        print_json({**facts, "extras": extras})
        return
    installed = [name for name, is_installed in extras.items() if is_installed]
    missing = [name for name, is_installed in extras.items() if not is_installed]
    rows = [*facts.items(), ("extras", ", ".join(installed) or "none")]
    if missing:
        rows.append(("missing", f"{', '.join(missing)}: pip install 'undercroft[{','.join(missing)}]'"))
    print_table(rows[0], rows[1:])


def _extras() -> dict[str, bool]:
    """Return every extra of this installation, and whether all that it asks for is installed."""
    try:
        requirements = metadata.requires("undercroft") or []
    except metadata.PackageNotFoundError:  # run from a source tree that was not installed
        return {}
    wanted: dict[str, list[str]] = {}
    for requirement in requirements:
        match = _REQUIREMENT.fullmatch(requirement)
        if match is not None:
            wanted.setdefault(match["extra"], []).append(match["name"])
    return {extra: all(map(_is_installed, names)) for extra, names in sorted(wanted.items())}


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
