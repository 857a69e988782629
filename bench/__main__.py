"""The command: `python -m bench GROUP [--json] [--rounds N] [--quick]`, `python -m bench --list`.

Ends with 0 when every goal is held, with 1 when one is not (or when it cannot be known, because a peer or our own
script failed), with 2 when the command itself is wrong.
"""

from __future__ import annotations

import argparse
import difflib
import json
import pkgutil
import sys
from collections.abc import Sequence
from importlib import import_module

from bench import groups
from bench._frame import Group
from bench._report import Row, is_kept, problems, row_of, table
from bench._run import measure

ROUNDS = 5
QUICK_ROUNDS = 1


def group_names() -> list[str]:
    """Return the names of the groups there are."""
    return sorted(module.name for module in pkgutil.iter_modules(groups.__path__) if not module.name.startswith("_"))


def load(name: str) -> Group:
    """Return a group; imports only its own file."""
    group = import_module(f"bench.groups.{name}").GROUP
    assert isinstance(group, Group)
    return group


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.list:
        _print_list()
        return 0
    if args.group not in group_names():
        parser.error(_unknown(args.group))
    rows = run(load(args.group), rounds=args.rounds or (QUICK_ROUNDS if args.quick else ROUNDS), quick=args.quick)
    print(json.dumps(rows, indent=2) if args.json else table(rows))
    for problem in problems(rows):
        print(f"failed: {problem}", file=sys.stderr)
    return 0 if all(map(is_kept, rows)) else 1


def run(group: Group, *, rounds: int, quick: bool) -> list[Row]:
    """Measure every work of a group, saying on standard error how far it is."""
    rows = []
    for work in group.works:
        contenders = measure(work, rounds=rounds, quick=quick, say=_say)
        rows.append(row_of(group, work, contenders, rounds=rounds, quick=quick))
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure undercroft against its peers.")
    parser.add_argument("group", nargs="?", metavar="GROUP", help="what to measure; see --list")
    parser.add_argument("--list", action="store_true", help="list the groups and their works")
    parser.add_argument("--json", action="store_true", help="print rows for programs instead of a table")
    parser.add_argument("--rounds", type=_positive, metavar="N", help=f"how often each script runs (default {ROUNDS})")
    parser.add_argument("--quick", action="store_true", help="only try whether everything runs; the values say nothing")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _unknown(name: str | None) -> str:
    known = group_names()
    if name is None:
        return f"name a group: {', '.join(known)}"
    near = ", ".join(difflib.get_close_matches(name, known))
    return f"there is no group {name!r}; {f'near: {near}; ' if near else ''}groups: {', '.join(known)}"


def _print_list() -> None:
    for name in group_names():
        print(name)
        for work in load(name).works:
            goal = work.goal.text(work.unit) if work.goal else "no goal"
            print(f"  {work.name} ({work.unit}; {goal})")


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
