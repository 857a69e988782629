"""`undercroft config show`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

import click

from undercroft.cli._options import debug_option, json_option, optional_app_argument
from undercroft.cli._output import kept_for_json, print_json, print_table

if TYPE_CHECKING:
    from undercroft.app import PartDescription, Settings


@click.group()
def config() -> None:
    """Look at the configuration."""


@config.command()
@optional_app_argument
@json_option
@debug_option
def show(*, app: str | None, as_json: bool) -> None:
    """Print every setting with where it came from, and each part's backend. Secrets are hidden.

    Without APP, of the environment alone. Connects to nothing.
    """
    from undercroft.cli._finding import load_infra

    with kept_for_json(as_json):
        infra = load_infra(app)
    settings, parts = _rows(infra.settings), infra.describe()
    if as_json:
        print_json({"settings": settings, "parts": [asdict(part) for part in parts]})
        return
    shown = [(str(row["name"]), _text(row["value"]), str(row["origin"])) for row in settings]
    print_table(("setting", "value", "from"), shown)
    print()
    print_table(("part", "backend", "where", "chosen by"), [_part_row(part) for part in parts])


def _rows(settings: Settings) -> list[dict[str, object]]:
    """Return name, value and origin of each setting; values as JSON has them, secrets hidden by their own `str`."""
    rows: list[dict[str, object]] = []
    for field in fields(settings):
        setting = getattr(settings, field.name)
        rows.append({"name": field.name, "value": _plain(setting.value), "origin": setting.origin})
    return rows


def _plain(value: object) -> object:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Iterable):
        return [_plain(item) for item in value]
    return str(value)


def _text(value: object) -> str:
    if value is None:
        return "-"
    return ", ".join(map(_text, value)) if isinstance(value, list) else str(value)


def _part_row(part: PartDescription) -> tuple[str, str, str, str]:
    return part.part, part.backend, part.url or "-", part.chosen_by
