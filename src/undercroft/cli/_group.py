"""The commands together. Loads click and nothing heavier: each command imports what it needs when it runs."""

from __future__ import annotations

from collections.abc import Sequence

import click

from undercroft.cli._breakers import breakers
from undercroft.cli._cache import cache
from undercroft.cli._check import check
from undercroft.cli._config import config
from undercroft.cli._cron import cron
from undercroft.cli._db import db
from undercroft.cli._demo import demo
from undercroft.cli._dev import dev
from undercroft.cli._exit_codes import EPILOG, ExitCode
from undercroft.cli._explain import explain
from undercroft.cli._health import health
from undercroft.cli._limits import limits
from undercroft.cli._locks import locks
from undercroft.cli._logs import logs
from undercroft.cli._migrate import migrate
from undercroft.cli._options import debug_option
from undercroft.cli._queue import queue
from undercroft.cli._report import RunOptions, reported
from undercroft.cli._sagas import sagas
from undercroft.cli._services import services
from undercroft.cli._trace import trace
from undercroft.cli._version import version
from undercroft.cli._worker import worker


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@debug_option
def commands() -> None:
    """The infrastructure floor of a Python web application.

    APP is module:attribute (shop.app:app) or path/to/file.py:attribute: an Infra, an application on one, or a function
    that makes one of them. Without the attribute the module is searched.
    """


for _command in (
    breakers,
    cache,
    check,
    config,
    cron,
    db,
    demo,
    dev,
    explain,
    health,
    limits,
    locks,
    logs,
    migrate,
    queue,
    sagas,
    services,
    trace,
    version,
    worker,
):
    commands.add_command(_command)


def run(arguments: Sequence[str] | None) -> int:
    """Run one command and return its exit code."""
    options = RunOptions()

    def action() -> int:
        try:
            given = list(arguments) if arguments is not None else None
            code = commands.main(given, prog_name="undercroft", standalone_mode=False, obj=options)
        except click.Abort:
            return ExitCode.INTERRUPTED
        except click.ClickException as exc:
            exc.show()
            return exc.exit_code
        return int(code or ExitCode.OK)

    return reported(action, options)
