"""`undercroft sagas`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from undercroft.cli._exit_codes import ExitCode
from undercroft.cli._on_queue import shown_instant
from undercroft.cli._on_store import on_store
from undercroft.cli._options import app_argument, debug_option, dry_run_option, json_option, limit_option
from undercroft.cli._output import print_json, print_table

if TYPE_CHECKING:
    from undercroft.resilience import CompensationReport, SagaInfo, Sagas, StepReport

T = TypeVar("T")
_STATES = ("running", "completed", "compensating", "compensated", "compensation_failed")
_saga_id = click.argument("saga_id", metavar="ID")


@click.group()
def sagas() -> None:
    """Look at the sagas, and have one go on."""


@sagas.command("list", short_help="List the sagas, those started last first.")
@app_argument
@click.option("--state", type=click.Choice(_STATES), help="Only those in this state.")
@click.option("--saga", metavar="NAME", help="Only those of this definition.")
@limit_option
@json_option
@debug_option
def list_(*, app: str, state: str | None, saga: str | None, limit: int, as_json: bool) -> None:
    """List the sagas that are stored, those that were started last first."""
    found = _on_sagas(app, lambda opened: opened.list(state=state, saga=saga, limit=limit), as_json=as_json)
    if as_json:
        print_json([_summary(info) for info in found])
    else:
        print_table(("id", "saga", "state", "started", "failed step", "problem"), [_row(info) for info in found])


def _row(info: SagaInfo) -> tuple[str, ...]:
    why = info.problem or (f"{info.error.type}: {info.error.text}" if info.error else "-")
    return (info.saga_id, info.saga, str(info.state), shown_instant(info.started_at), info.failed_step or "-", why)


def _summary(info: SagaInfo) -> dict[str, Any]:
    """Return a saga for JSON, without its data and results, which may be anybody's secrets."""
    return {
        "id": info.saga_id,
        "saga": info.saga,
        "version": info.version,
        "state": str(info.state),
        "started_at": info.started_at,
        "updated_at": info.updated_at,
        "failed_step": info.failed_step,
        "error": info.error,
        "problem": info.problem,
    }


@sagas.command(short_help="Print one saga and its steps.")
@app_argument
@_saga_id
@click.option("--data", "with_data", is_flag=True, help="Also its data and results, which may hold secrets.")
@json_option
@debug_option
def show(*, app: str, saga_id: str, with_data: bool, as_json: bool) -> int:
    """Print where the saga ID is, its steps and their compensations; exit with 5 when there is none."""
    info = _on_sagas(app, lambda opened: opened.get(saga_id), as_json=as_json)
    if info is None:
        click.echo(f"no saga {saga_id!r}", err=True)
        return ExitCode.REFUSED
    document = {**_summary(info), "steps": info.steps, "compensations": info.compensations}
    if with_data:
        document |= {"data": info.data, "results": info.results}
    if as_json:
        print_json(document)
    else:
        _print(info, document)
    return ExitCode.OK


def _print(info: SagaInfo, document: dict[str, Any]) -> None:
    from undercroft._core.codec import to_json

    hidden = ("steps", "compensations", "error")
    rows = [(key, _shown(value)) for key, value in document.items() if key not in hidden and value is not None]
    for key in ("data", "results"):
        if key in document:
            rows = [(name, to_json(document[key]).decode() if name == key else text) for name, text in rows]
    if info.error is not None:
        rows.append(("error", f"{info.error.type}: {info.error.text}"))
    print_table(("", ""), rows)
    steps = [_step_row("do", step) for step in info.steps] + [_step_row("undo", undo) for undo in info.compensations]
    if steps:
        print()
        print_table(("", "step", "outcome", "runs", "error"), steps)


def _step_row(kind: str, report: StepReport | CompensationReport) -> tuple[str, ...]:
    error = "-" if report.error is None else f"{report.error.type}: {report.error.text}"
    return (kind, report.name, report.outcome, str(report.attempts), error)


def _shown(value: Any) -> str:
    from datetime import datetime

    return shown_instant(value) if isinstance(value, datetime) else str(value)


@sagas.command(short_help="Have the saga ID go on.")
@app_argument
@_saga_id
@dry_run_option
@debug_option
def resume(*, app: str, saga_id: str, dry_run: bool) -> None:
    """Have the saga ID go on: try again what could not be undone, or give one that does not move another job.

    A worker does the work. Exit with 5 when there is no such saga, or nothing left to do for it.
    """

    async def act(opened: Sagas) -> str:
        if dry_run:
            return (await opened.require(saga_id)).state
        return (await opened.resume(saga_id)).id

    _on_sagas(app, act)
    click.echo(f"{'would resume' if dry_run else 'resumed'} {saga_id}")


def _on_sagas(app: str, action: Callable[[Sagas], Awaitable[T]], *, as_json: bool = False) -> T:
    return on_store(app, "sagas", action, as_json=as_json)
