"""`undercroft check`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from undercroft.cli._exit_codes import ExitCode
from undercroft.cli._options import debug_option, json_option, optional_app_argument
from undercroft.cli._output import kept_for_json, print_json, print_table

if TYPE_CHECKING:
    from undercroft.app import Finding


@click.command(short_help="Report what is unsafe, missing or unreachable.")
@optional_app_argument
@json_option
@click.option("--no-connect", is_flag=True, help="Look at the settings only; connect to nothing.")
@debug_option
def check(*, app: str | None, as_json: bool, no_connect: bool) -> int:
    """Report what is unsafe, missing or unreachable; exit with 1 when that includes an error.

    Without APP, of the environment alone.
    """
    import asyncio

    from undercroft.cli._finding import load_infra

    with kept_for_json(as_json):
        findings = asyncio.run(load_infra(app).check(connect=not no_connect))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    elif findings:
        print_table(("severity", "part", "finding"), [_row(finding) for finding in findings])
    else:
        print("no findings")
    return ExitCode.FAILED if any(finding.severity == "error" for finding in findings) else ExitCode.OK


def _row(finding: Finding) -> tuple[str, str, str]:
    return finding.severity, finding.part, f"{finding.message}\ndo: {finding.hint}"
