"""`undercroft migrate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from undercroft.cli._options import debug_option, json_option, optional_app_argument
from undercroft.cli._output import kept_for_json, print_json, print_table

if TYPE_CHECKING:
    from undercroft.connections.sql import Database, PlannedMigration


@click.command(short_help="Bring undercroft's own tables up to date.")
@optional_app_argument
@click.option("--plan", "is_dry", is_flag=True, help="Print the steps and their SQL; change nothing.")
@json_option
@debug_option
def migrate(*, app: str | None, is_dry: bool, as_json: bool) -> None:
    """Bring undercroft's own tables in the database up to date. Yours are left alone.

    Without APP, in the database of the environment alone. Opens nothing else. Safe to run in several places at once.
    """
    import asyncio

    from undercroft.cli._finding import load_infra

    with kept_for_json(as_json):
        database = load_infra(app).db
        steps = asyncio.run(_plan(database) if is_dry else _migrate(database))
    if as_json:
        print_json([asdict(step) if is_dry else {"number": step.number, "title": step.title} for step in steps])
    elif not steps:
        print("nothing to do")
    elif is_dry:
        print(_script(steps))
    else:
        print_table(("done", "title"), [(str(step.number), step.title) for step in steps])


async def _plan(database: Database) -> list[PlannedMigration]:
    from undercroft.connections.sql import plan

    async with database:
        return await plan(database)


async def _migrate(database: Database) -> list[PlannedMigration]:
    """Take the steps, and return those that were taken here: another process may have been quicker with some."""
    from undercroft.connections.sql import migrate as take_steps
    from undercroft.connections.sql import plan

    async with database:
        planned = await plan(database)
        taken = set(await take_steps(database))
    return [step for step in planned if step.number in taken]


def _script(steps: Sequence[PlannedMigration]) -> str:
    """Return the steps as one SQL script, as an administrator could run it."""
    return "\n\n".join(f"-- {step.number}  {step.title}\n{step.sql}" for step in steps)
