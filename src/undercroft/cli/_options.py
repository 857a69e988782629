"""Options and arguments that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from undercroft.cli._report import RunOptions

F = TypeVar("F", bound=Callable[..., Any])


def read_duration(context: click.Context, parameter: click.Parameter, value: str) -> float:
    """Return an option's duration in seconds: a callback for options."""
    from undercroft._core.durations import DurationError, to_seconds

    try:
        return to_seconds(value)
    except DurationError as error:
        raise click.BadParameter(f"{value!r}: {error.hint}", context, parameter) from error


def _set_debug(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(RunOptions).debug = True


def debug_option(command: F) -> F:
    """Take `--debug`, before the command's name or after it."""
    return click.option(
        "--debug", is_flag=True, expose_value=False, callback=_set_debug, help="Show tracebacks of errors."
    )(command)


def json_option(command: F) -> F:
    """Take `--json` as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")(command)


def dry_run_option(command: F) -> F:
    """Take `--dry-run` as `dry_run`."""
    return click.option("--dry-run", is_flag=True, help="Change nothing; say what would be.")(command)


def limit_option(command: F) -> F:
    """Take `--limit`: how many rows to print."""
    return click.option(
        "--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="How many at most."
    )(command)


def app_argument(command: F) -> F:
    """Take APP, which must be there."""
    return click.argument("app", metavar="APP")(command)


def optional_app_argument(command: F) -> F:
    """Take APP or nothing, which is `None`: the environment alone."""
    return click.argument("app", metavar="[APP]", required=False)(command)


def concurrency_option(command: F) -> F:
    """Take `--concurrency`."""
    return click.option(
        "--concurrency",
        type=click.IntRange(1, 1000),
        default=5,
        show_default=True,
        metavar="N",
        help="Jobs that run at once.",
    )(command)
