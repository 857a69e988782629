"""`undercroft locks`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click

from undercroft.cli._exit_codes import ExitCode
from undercroft.cli._on_queue import shown_age, shown_instant
from undercroft.cli._on_store import on_store
from undercroft.cli._options import app_argument, debug_option, dry_run_option, json_option, limit_option
from undercroft.cli._output import print_json, print_table

if TYPE_CHECKING:
    from undercroft.resilience import LockInfo, Locks

T = TypeVar("T")
_HEADERS = ("lock", "owner", "token", "since", "ends in")


@click.group()
def locks() -> None:
    """Look at the locks that are held, and release one by force."""


@locks.command("list", short_help="List the locks that are held.")
@app_argument
@click.option("--prefix", default="", metavar="TEXT", help="Only those whose name begins with this.")
@limit_option
@json_option
@debug_option
def list_(*, app: str, prefix: str, limit: int, as_json: bool) -> None:
    """List the locks that are held, by name, with their owners and fencing tokens."""
    held = _on_locks(app, lambda opened: opened.list(prefix=prefix, limit=limit), as_json=as_json)
    if as_json:
        print_json(held)
    else:
        print_table(_HEADERS, [_row(info) for info in held])


@locks.command(short_help="Release NAME, whoever holds it.")
@app_argument
@click.argument("name", metavar="NAME")
@dry_run_option
@json_option
@debug_option
def release(*, app: str, name: str, dry_run: bool, as_json: bool) -> int:
    """Release the lock NAME by force; exit with 5 when nobody holds it.

    Its holder finds out when it renews, within a third of its ttl, and may go on until then.
    """

    async def act(opened: Locks) -> LockInfo | None:
        if not dry_run:
            return await opened.release(name)
        found = await opened.list(prefix=name, limit=1000)
        return next((info for info in found if info.name == name), None)

    info = _on_locks(app, act, as_json=as_json)
    if info is None:
        click.echo(f"nobody holds lock {name!r}", err=True)
        return ExitCode.REFUSED
    if as_json:
        print_json({"is_released": not dry_run, "lock": info})
        return ExitCode.OK
    click.echo(f"{'would release' if dry_run else 'released'} {name}, held by {info.owner} (token {info.token})")
    return ExitCode.OK


def _on_locks(app: str, action: Callable[[Locks], Awaitable[T]], *, as_json: bool) -> T:
    return on_store(app, "locks", action, as_json=as_json)


def _row(info: LockInfo) -> tuple[str, ...]:
    return (info.name, info.owner, str(info.token), shown_instant(info.acquired_at), shown_age(info.expires_in_s))
