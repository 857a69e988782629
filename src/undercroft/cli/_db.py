"""`undercroft db`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from undercroft.cli._options import debug_option, json_option, optional_app_argument
from undercroft.cli._output import kept_for_json, print_json, print_table, shown_ms

if TYPE_CHECKING:
    from undercroft.app import Infra


@click.group()
def db() -> None:
    """Look at the SQL database."""


@db.command()
@optional_app_argument
@json_option
@debug_option
def ping(*, app: str | None, as_json: bool) -> None:
    """Ask the database for an answer, and print what it is.

    Without APP, the database of the environment alone. Opens nothing else.
    """
    import asyncio

    from undercroft.cli._finding import load_infra

    with kept_for_json(as_json):
        dialect, version, latency_ms = asyncio.run(_ping(load_infra(app)))
    if as_json:
        print_json({"dialect": dialect, "version": version, "latency_ms": latency_ms})
    else:
        print_table(("dialect", "version", "latency"), [(dialect, version, shown_ms(latency_ms))])


async def _ping(infra: Infra) -> tuple[str, str, float]:
    async with infra.db as database:
        await database.ping()  # the default database connects only now; that is not what is measured
        started = infra.clock.monotonic()
        await database.ping()
        latency_ms = round((infra.clock.monotonic() - started) * 1000, 2)
        return database.dialect, await database.server_version(), latency_ms
