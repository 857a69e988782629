"""`undercroft services`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from undercroft.cli._exit_codes import ExitCode
from undercroft.cli._options import debug_option, json_option, optional_app_argument
from undercroft.cli._output import kept_for_json, print_json, print_table, shown_ms

if TYPE_CHECKING:
    from undercroft.app import ServiceReport

_HEADERS = ("service", "backend", "configured by", "reachable", "latency", "version")


@click.command(short_help="Ask every service whether it is reachable.")
@optional_app_argument
@json_option
@debug_option
def services(*, app: str | None, as_json: bool) -> int:
    """Open each service by itself and ask it for an answer; exit with 4 when one is not reachable.

    Without APP, of the environment alone.
    """
    import asyncio

    from undercroft.cli._finding import load_infra

    with kept_for_json(as_json):
        reports = asyncio.run(load_infra(app).report_services())
    if as_json:
        print_json([asdict(report) for report in reports])
    else:
        _print(reports)
    return ExitCode.OK if all(report.is_reachable for report in reports) else ExitCode.UNAVAILABLE


def _print(reports: list[ServiceReport]) -> None:
    print_table(_HEADERS, [_row(report) for report in reports])
    problems = [(report.service, report.problem) for report in reports if report.problem is not None]
    if problems:
        print()
        print_table(("service", "problem"), problems)


def _row(report: ServiceReport) -> tuple[str, ...]:
    return (
        report.service,
        report.backend,
        report.chosen_by,
        "yes" if report.is_reachable else "no",
        shown_ms(report.latency_ms),
        report.version or "-",
    )
