"""What a measurement says: rows for programs, a table for people."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from typing import TypedDict

from bench._frame import Group, Work
from bench._goal import is_held
from bench._run import Contender

WIDTH = 100


class Row(TypedDict):
    """One work. `held` is `None` without a goal, and when a value that the goal needs is missing."""

    group: str
    work: str
    unit: str
    ours: float | None
    peers: dict[str, float | None]
    goal: str | None
    held: bool | None
    settings: dict[str, object]


def row_of(group: Group, work: Work, contenders: Sequence[Contender], *, rounds: int, quick: bool) -> Row:
    """Return the row of a measured work; `contenders` as `measure` gives them."""
    ours, *others = contenders
    peers = {contender.name: contender.median for contender in others}
    return Row(
        group=group.name,
        work=work.name,
        unit=work.unit,
        ours=ours.median,
        peers=peers,
        goal=work.goal.text(work.unit) if work.goal else None,
        held=is_held(work.goal, work.better, ours.median, peers) if work.goal else None,
        settings=_settings(work, contenders, rounds=rounds, quick=quick),
    )


def _settings(work: Work, contenders: Sequence[Contender], *, rounds: int, quick: bool) -> dict[str, object]:
    problems = {contender.name: contender.problem for contender in contenders if contender.problem is not None}
    return {
        **work.settings,
        "better": work.better,
        "rounds": rounds,
        **({"quick": True} if quick else {}),
        "machine": f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} processors",
        "runs": {contender.name: contender.values for contender in contenders},
        "scripts": {contender.name: contender.settings for contender in contenders if contender.settings},
        "requirements": {name: [*peer.requirements] for name, peer in work.peers.items() if peer.requirements},
        **({"problems": problems} if problems else {}),
    }


def is_kept(row: Row) -> bool:
    """Tell whether the row keeps what it promises: it has our value, and its goal, if it has one, holds."""
    return row["ours"] is not None and (row["goal"] is None or row["held"] is True)


def table(rows: Sequence[Row]) -> str:
    """Return the rows as an aligned table of at most 100 columns, one line for each value."""
    head = ("work", "unit", "who", "value", "ours/theirs", "goal")
    lines = [head, *(line for row in rows for line in _lines(row))]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    # The work's name and the goal give way, the figures do not.
    for column in (0, 5):
        widths[column] = min(widths[column], max(8, WIDTH - 2 * (len(head) - 1) - (sum(widths) - widths[column])))
    return "\n".join(_aligned(line, widths) for line in lines)


def _lines(row: Row) -> Iterator[tuple[str, ...]]:
    yield row["work"], row["unit"], "undercroft", _number(row["ours"]), "", _verdict(row)
    for name, value in row["peers"].items():
        ratio = f"{row['ours'] / value:.2f} x" if row["ours"] is not None and value else ""
        yield "", "", name, _number(value), ratio, ""


def _verdict(row: Row) -> str:
    if row["goal"] is None:
        return "no goal"
    said = {True: "held", False: "NOT HELD", None: "not known"}[row["held"]]
    return f"{said}: {row['goal']}"


def problems(rows: Sequence[Row]) -> list[str]:
    """Return why values are missing, a line for each."""
    found = [(row["work"], row["settings"].get("problems")) for row in rows]
    return [f"{work}: {name}: {why}" for work, some in found if isinstance(some, dict) for name, why in some.items()]


def _number(value: float | None) -> str:
    if value is None:
        return "failed"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    cells = []
    for column, (cell, width) in enumerate(zip(line, widths, strict=True)):
        short = cell if len(cell) <= width else cell[: width - 1] + "…"
        cells.append(short.rjust(width) if column in (3, 4) else short.ljust(width))
    return "  ".join(cells).rstrip()
