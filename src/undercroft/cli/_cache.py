"""`undercroft cache`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from undercroft.cli._exit_codes import ExitCode
from undercroft.cli._on_queue import shown_age, shown_instant
from undercroft.cli._on_store import on_store
from undercroft.cli._options import app_argument, debug_option, dry_run_option, json_option, limit_option
from undercroft.cli._output import print_json, print_table

if TYPE_CHECKING:
    from undercroft.cache import Cache
    from undercroft.cache._inspect import Entry

T = TypeVar("T")
_prefix = click.option("--prefix", default="", metavar="TEXT", help="Only keys that begin with this.")


@click.group()
def cache() -> None:
    """Look into the cache, and make it forget.

    A cache of a type has keys that begin with its name, as in User:17.
    """


@cache.command(short_help="Print how much the cache holds.")
@app_argument
@json_option
@debug_option
def stats(*, app: str, as_json: bool) -> None:
    """Print how much the cache of APP holds, and where. Hits and misses are metrics of the processes that read."""
    facts = _on_cache(app, _facts, as_json=as_json)
    if as_json:
        print_json(facts)
        return
    shown = tuple("-" if value is None else str(value) for value in facts.values())
    print_table(("backend", "namespace", "entries", "bytes"), [shown])


async def _facts(opened: Cache[Any]) -> dict[str, Any]:
    await opened.ping()  # a store that is away must not look like an empty one
    found = await opened.stats()
    return {
        "backend": opened.backend,
        "namespace": opened.namespace,
        "entries": found.entries,
        "size_bytes": found.size_bytes,
    }


@cache.command(short_help="List keys.")
@app_argument
@_prefix
@limit_option
@json_option
@debug_option
def keys(*, app: str, prefix: str, limit: int, as_json: bool) -> None:
    """List keys of the cache, in no order. Some may not be fresh any more."""
    found = _on_cache(app, lambda opened: opened.list_keys(prefix=prefix, limit=limit + 1), as_json=as_json)
    if as_json:
        print_json({"keys": found[:limit], "has_more": len(found) > limit})
        return
    for key in found[:limit]:
        click.echo(_printable(key))
    if len(found) > limit:
        click.echo(f"more than {limit}: give --limit or --prefix", err=True)


def _printable(key: str) -> str:
    """Return a key as text that moves no cursor; anybody may have chosen it."""
    return key if key.isprintable() else ascii(key)[1:-1]


@cache.command(short_help="Tell what is kept under KEY.")
@app_argument
@click.argument("key", metavar="KEY")
@click.option("--reveal", is_flag=True, help="Also the value, which may be a secret.")
@json_option
@debug_option
def get(*, app: str, key: str, reveal: bool, as_json: bool) -> int:
    """Tell the type, size and age of what is kept under KEY; exit with 5 when nothing is.

    Without --reveal the value is not shown.
    """

    async def find(opened: Cache[Any]) -> Entry | None:
        from undercroft.cache._inspect import inspect

        return await inspect(opened, key)

    entry = _on_cache(app, find, as_json=as_json)
    if entry is None:
        click.echo(f"nothing is kept under {key!r}", err=True)
        return ExitCode.REFUSED
    document = _document(entry, reveal=reveal)
    if as_json:
        print_json(document)
    else:
        print_table(("", ""), [(name, _shown(name, value)) for name, value in document.items() if value is not None])
    return ExitCode.OK


def _document(entry: Entry, *, reveal: bool) -> dict[str, Any]:
    import msgspec

    names = ("key", "type", "size_bytes", "is_fresh", "written_at", "fresh_until", "cost_s", "version", "tags")
    document = {name: getattr(entry, name) for name in (*names, "problem")}
    if reveal and entry.problem is None:
        document["value"] = msgspec.json.decode(entry.json)
    return document


def _shown(name: str, value: Any) -> str:
    from datetime import datetime

    from undercroft._core.codec import to_json

    if name == "value":
        return to_json(value).decode()
    if name == "cost_s":
        return shown_age(value)
    if isinstance(value, datetime):
        return shown_instant(value)
    return ", ".join(value) or "-" if isinstance(value, tuple) else _printable(str(value))


@cache.command(short_help="Forget keys.")
@app_argument
@click.argument("keys_", metavar="KEY...", nargs=-1, required=True)
@dry_run_option
@json_option
@debug_option
def delete(*, app: str, keys_: tuple[str, ...], dry_run: bool, as_json: bool) -> int:
    """Forget what is kept under these keys; exit with 5 when one of them was not there."""

    async def act(opened: Cache[Any]) -> dict[str, bool]:
        from undercroft.cache._inspect import inspect

        if dry_run:
            return {key: await inspect(opened, key) is not None for key in keys_}
        return {key: await opened.delete(key) for key in keys_}

    outcome = _on_cache(app, act, as_json=as_json)
    if as_json:
        print_json(outcome)
    else:
        done = "would be deleted" if dry_run else "deleted"
        rows = [(_printable(key), done if was_there else "not there") for key, was_there in outcome.items()]
        print_table(("key", ""), rows)
    return ExitCode.OK if all(outcome.values()) else ExitCode.REFUSED


@cache.command(short_help="Forget all keys, or those of a prefix.")
@app_argument
@_prefix
@dry_run_option
@json_option
@debug_option
def clear(*, app: str, prefix: str, dry_run: bool, as_json: bool) -> None:
    """Forget what the cache holds, of this application only: its namespace, and nothing else in the same store."""
    count = _on_cache(app, lambda opened: opened.clear(prefix=prefix, dry_run=dry_run), as_json=as_json)
    if as_json:
        print_json({"count": count, "is_dry_run": dry_run})
    else:
        click.echo(f"{'would delete' if dry_run else 'deleted'} {count}")


def _on_cache(app: str, action: Callable[[Cache[Any]], Awaitable[T]], *, as_json: bool) -> T:
    return on_store(app, "cache", action, as_json=as_json)
