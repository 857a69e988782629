"""How benchmarks are declared: groups of works, each with our script and its peers'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench._goal import FASTEST, Better, Promise

ROOT = Path(__file__).parents[1]
SCRIPTS = Path(__file__).parent / "scripts"


@dataclass(frozen=True, slots=True)
class Script:
    """A program to run: a path below `bench/scripts/`, and arguments."""

    path: str | Path
    args: Sequence[str] = ()

    @property
    def file(self) -> Path:
        """Where it is; an absolute path stays as it is."""
        return SCRIPTS / self.path


@dataclass(frozen=True, slots=True)
class Peer:
    """Somebody else's way to do the same, and what pip must install for it, pinned or not."""

    script: Script
    requirements: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One thing to measure."""

    name: str
    unit: str
    """Of the values: `ms`, `jobs/s`."""
    ours: Script
    ours_extras: Sequence[str] | None = ()
    """undercroft's extras in the environment our script runs in; `None` uses the interpreter that runs the bench."""
    peers: Mapping[str, Peer] = field(default_factory=dict)
    goal: Promise | None = None
    """`None` only reports."""
    better: Better
    settings: Mapping[str, object] = field(default_factory=dict)
    """What a reader must know to judge the values; goes into the report as it is."""
    deadline_s: float = 120.0
    """Of each single run."""

    def __post_init__(self) -> None:
        if self.goal is None or self.goal.peer is None:
            return
        if self.goal.peer not in {FASTEST, *self.peers}:
            raise ValueError(f"work {self.name!r}: its goal names {self.goal.peer!r}, its peers are {[*self.peers]}")
        if not self.peers:
            raise ValueError(f"work {self.name!r}: a goal needs a peer")


@dataclass(frozen=True, slots=True)
class Group:
    """Works that are measured together. `bench/groups/<name>.py` has it as `GROUP`."""

    name: str
    works: Sequence[Work]
