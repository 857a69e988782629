"""The command `undercroft`, also as `python -m undercroft`.

    undercroft version                      what is installed here
    undercroft config show shop.app         every setting, where it came from, and what was built of it
    undercroft check shop.app               what is unsafe, missing or unreachable
    undercroft services shop.app            which services there are, and whether they answer
    undercroft db ping shop.app             the SQL database alone
    undercroft migrate shop.app             bring undercroft's own tables up to date
    undercroft dev shop.app:app             application and worker in one process, restarted when a file changes
    undercroft worker shop.app              run jobs and subscriptions until SIGTERM
    undercroft health --kind worker         how the workers of this machine are; for probes
    undercroft trace 4bf92f3577b3           one request's whole story: spans, log lines, jobs
    undercroft logs -f                      the log lines of all processes, as they come
    undercroft explain UC1203               what an error means and where it comes from
    undercroft demo                         the demo shop

Each command answers `--help`. Exit codes are in `undercroft --help` and in docs/cli.md.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; the arguments are `sys.argv[1:]` when `None`.

    Prints errors to stderr and does not raise, whatever goes wrong.
    """
    code = _answer_probe(sys.argv[1:] if arguments is None else arguments)
    return _run(arguments) if code is None else code


def _answer_probe(arguments: Sequence[str]) -> int | None:
    """Answer `undercroft health` at once: click alone takes longer to import than a probe may cost."""
    if arguments[:1] != ["health"]:
        return None
    from undercroft.cli._health_quick import answer_quickly

    return answer_quickly(arguments[1:])


def _run(arguments: Sequence[str] | None) -> int:
    from undercroft._core.errors import MissingExtraError
    from undercroft._core.extras import require_module
    from undercroft.cli._exit_codes import exit_code_of
    from undercroft.cli._report import print_error

    try:
        require_module("click", extra="cli", needed_for="the command line")
    except MissingExtraError as error:
        print_error(error)
        return exit_code_of(error)
    from undercroft.cli._group import run

    return run(arguments)
