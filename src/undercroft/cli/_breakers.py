"""`undercroft breakers`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from undercroft._core.errors import near_names
from undercroft.cli._exit_codes import ExitCode
from undercroft.cli._on_queue import shown_age, shown_instant
from undercroft.cli._on_store import on_store
from undercroft.cli._options import app_argument, debug_option, dry_run_option, json_option, read_duration
from undercroft.cli._output import print_json, print_table

if TYPE_CHECKING:
    from undercroft.resilience import BreakerInfo, Breakers

T = TypeVar("T")
_name = click.argument("name", metavar="NAME")
_HEADERS = ("breaker", "state", "why", "since", "probes in")


def _optional_duration(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    return None if value is None else read_duration(context, parameter, value)


_for = click.option(
    "--for", "for_s", callback=_optional_duration, metavar="TIME", help="Only for so long; without it, until `reset`."
)


@click.group()
def breakers() -> None:
    """Look at the shared circuit breakers, and force one."""


@breakers.command("list", short_help="List the breakers and how they stand.")
@app_argument
@json_option
@debug_option
def list_(*, app: str, as_json: bool) -> None:
    """List every breaker that the store knows, by name. One that never opened may be unknown to it."""
    found = _on_breakers(app, lambda opened: opened.list(), as_json=as_json)
    if as_json:
        print_json([_document(info) for info in found])
    else:
        print_table(_HEADERS, [_row(info) for info in found])


def _document(info: BreakerInfo) -> dict[str, Any]:
    names = ("name", "state", "forced", "forced_until", "opened_at", "changed_at", "retry_after", "reason", "probes")
    return {name: getattr(info, name) for name in names}


def _row(info: BreakerInfo) -> tuple[str, ...]:
    state = f"{info.state}, forced" if info.forced else str(info.state)
    if info.forced_until is not None:
        state += f" until {shown_instant(info.forced_until)}"
    return (info.name, state, info.reason or "-", shown_instant(info.changed_at), shown_age(info.retry_after))


@breakers.command("open", short_help="Force NAME open: let no call through.")
@app_argument
@_name
@_for
@dry_run_option
@debug_option
def open_(*, app: str, name: str, for_s: float | None, dry_run: bool) -> int:
    """Force NAME open in every process: no call goes through."""
    return _change(app, name, lambda opened: opened.force_open(name, for_=for_s), "opened", dry_run=dry_run)


@breakers.command(short_help="Force NAME closed: let every call through.")
@app_argument
@_name
@_for
@dry_run_option
@debug_option
def close(*, app: str, name: str, for_s: float | None, dry_run: bool) -> int:
    """Force NAME closed in every process: every call goes through, whatever fails."""
    return _change(app, name, lambda opened: opened.force_closed(name, for_=for_s), "closed", dry_run=dry_run)


@breakers.command(short_help="Close NAME and have it decide by itself again.")
@app_argument
@_name
@dry_run_option
@debug_option
def reset(*, app: str, name: str, dry_run: bool) -> int:
    """Close NAME, forget why it was open, and have it decide by itself again."""
    return _change(app, name, lambda opened: opened.reset(name), "reset", dry_run=dry_run)


def _change(app: str, name: str, change: Callable[[Breakers], Awaitable[Any]], done: str, *, dry_run: bool) -> int:
    async def act(opened: Breakers) -> list[str] | None:
        known = [info.name for info in await opened.list()]
        if name not in known:
            return known
        if not dry_run:
            await change(opened)
        return None

    unknown = _on_breakers(app, act)
    if unknown is None:
        click.echo(f"{'would have ' if dry_run else ''}{done} {name}")
        return ExitCode.OK
    near = near_names(name, unknown)
    click.echo("\n".join([f"no breaker {name!r}", *([f"  near: {', '.join(near)}"] if near else [])]), err=True)
    return ExitCode.REFUSED


def _on_breakers(app: str, action: Callable[[Breakers], Awaitable[T]], *, as_json: bool = False) -> T:
    return on_store(app, "breakers", action, as_json=as_json)
