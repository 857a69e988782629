"""What was promised about a work, and whether it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

Op = Literal["<=", ">="]
Better = Literal["higher", "lower"]
FASTEST = "fastest"
"""Instead of a peer's name: the best of all peers."""


class Promise(Protocol):
    """A goal of any kind. `peer` is whom it is about; `None` for what ours promises by itself."""

    @property
    def op(self) -> Op: ...
    @property
    def peer(self) -> str | None: ...

    def text(self, unit: str) -> str:
        """Write the goal: `>= 5 x huey`."""

    def limit(self, peer: float) -> float:
        """Return what our own value is compared with, given the peer's."""


@dataclass(frozen=True, slots=True)
class Goal:
    """Ours is at most, or at least, so many times the peer's: `Goal(">=", 5, "huey")`."""

    op: Op
    factor: float
    peer: str

    def text(self, unit: str) -> str:  # noqa: ARG002 - a ratio has no unit
        return f"{self.op} {self.factor:g} x {self.peer}"

    def limit(self, peer: float) -> float:
        return self.factor * peer


@dataclass(frozen=True, slots=True)
class Margin:
    """Ours is at most so much over, or at least so much over, the peer's: `Margin("<=", 15, "asyncio")`."""

    op: Op
    difference: float
    peer: str

    def text(self, unit: str) -> str:
        return f"{self.op} {self.difference:g} {unit} over {self.peer}"

    def limit(self, peer: float) -> float:
        return self.difference + peer


@dataclass(frozen=True, slots=True)
class Limit:
    """Ours is at most, or at least, so much, whatever others do: `Limit("<=", 50)`."""

    op: Op
    value: float
    peer: None = None

    def text(self, unit: str) -> str:
        return f"{self.op} {self.value:g} {unit}"

    def limit(self, peer: float) -> float:  # noqa: ARG002 - nobody's value changes it
        return self.value


def is_held(goal: Promise, better: Better, ours: float | None, peers: Mapping[str, float | None]) -> bool | None:
    """Tell whether the goal holds; `None` when a value that it needs is missing.

    The fastest peer is known only if every peer has a value.
    """
    if goal.peer is None:
        named: list[float | None] = [0.0]
    else:
        named = list(peers.values()) if goal.peer == FASTEST else [peers[goal.peer]]
    values = [value for value in named if value is not None]
    if ours is None or len(values) < len(named):
        return None
    limit = goal.limit(max(values) if better == "higher" else min(values))
    return ours <= limit if goal.op == "<=" else ours >= limit
