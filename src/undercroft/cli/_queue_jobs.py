"""`undercroft queue`: one job, and what can be done with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from undercroft.cli._exit_codes import ExitCode
from undercroft.cli._on_queue import on_queue, shown_instant, summary
from undercroft.cli._options import app_argument, debug_option, json_option
from undercroft.cli._output import print_json, print_table

if TYPE_CHECKING:
    from undercroft.queue import JobRecord, Queue


@click.command(short_help="Print one job.")
@app_argument
@click.argument("job_id", metavar="ID")
@click.option("--data", "with_data", is_flag=True, help="Also its data and result, which may hold secrets.")
@json_option
@debug_option
def job(*, app: str, job_id: str, with_data: bool, as_json: bool) -> int:
    """Print where the job ID is, its errors and its own log; exit with 5 when there is none."""

    async def find(opened: Queue) -> tuple[JobRecord | None, list[str]]:
        record = await opened.get_job(job_id)
        return record, await opened.job_logs(job_id) if record else []

    record, lines = on_queue(app, find, as_json=as_json)
    if record is None:
        click.echo(f"no job {job_id!r}", err=True)
        return ExitCode.REFUSED
    document = _document(record, lines, with_data=with_data)
    if as_json:
        print_json(document)
    else:
        print_table(("", ""), [(key, _shown(value)) for key, value in document.items() if value not in (None, [])])
    return ExitCode.OK


def _document(record: JobRecord, lines: list[str], *, with_data: bool) -> dict[str, Any]:
    import msgspec

    document = {**summary(record), "log": lines}
    if with_data:
        document["data"] = msgspec.json.decode(record.data)
        document["result"] = msgspec.json.decode(record.result) if record.result else None
        document["stack"] = record.stack
    return document


def _shown(value: Any) -> str:
    from datetime import datetime

    if isinstance(value, datetime):
        return shown_instant(value)
    if isinstance(value, list):
        return "\n".join(map(str, value))
    return str(value)


def _command(name: str, done: str, help_text: str) -> click.Command:
    """Make a command that does one thing to each of some jobs."""

    @click.command(name, short_help=help_text, help=f"{help_text} Exit with 5 when one of them is in no state for it.")
    @app_argument
    @click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
    @json_option
    @debug_option
    def command(*, app: str, job_ids: tuple[str, ...], as_json: bool) -> int:
        async def act(opened: Queue) -> dict[str, bool]:
            action: Callable[[str], Awaitable[bool]] = getattr(opened, f"{name}_job")
            return {job_id: await action(job_id) for job_id in job_ids}

        outcome = on_queue(app, act, as_json=as_json)
        if as_json:
            print_json(outcome)
        else:
            print_table(("id", ""), [(job_id, done if ok else f"not {done}") for job_id, ok in outcome.items()])
        return ExitCode.OK if all(outcome.values()) else ExitCode.REFUSED

    return command


COMMANDS = (
    job,
    _command("retry", "retried", "Run finished jobs again from the beginning."),
    _command("cancel", "cancelled", "Cancel jobs that wait or run."),
    _command("promote", "promoted", "Let delayed jobs run now."),
    _command("remove", "removed", "Delete jobs that are not running."),
)
