"""What all rules have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

MOST = 2**52
"""The largest number of a rule's units: twice as much is still exact in Lua."""

Verdict = tuple[int, int, int]
"""Microseconds until the same call would be allowed (0: it is), what remains, microseconds until all is there again."""

State = Any
"""Of one key under one rule; each rule has its own kind, which it makes, changes, writes and reads."""


class Rule(ABC):
    """One limit in whole numbers. Immutable; shared by all keys.

    A call that is refused changes nothing. A clock that was set back delays nobody: what the state has from a later
    time is taken to be of now.
    """

    __slots__ = ("cost_most", "limit", "part", "warn_at", "window_us")

    kind: ClassVar[str]
    is_calendar: ClassVar[bool] = False

    def __init__(self, *, limit: int, window_us: int, part: str, warn_at: int | None = None) -> None:
        self.limit = limit
        self.window_us = window_us
        self.part = part
        """Names the state: what has the same part has states that mean the same, whatever the limit."""
        self.warn_at = warn_at

    @abstractmethod
    def fresh(self, now: int) -> State:
        """Return the state of a key that nothing is known of."""

    @abstractmethod
    def check(self, state: State, now: int, cost: int, token: str = "") -> Verdict:
        """Take `cost` from `state` if it is there, and tell what is left."""

    @abstractmethod
    def look(self, state: State, now: int, cost: int) -> Verdict:
        """Tell what `check` would decide, and what is there without it."""

    @abstractmethod
    def settle(self, state: State, now: int) -> bool:
        """Take what the state has from a later time to be of `now`, and tell whether it had any.

        Also forgets what says nothing any more.
        """

    @abstractmethod
    def refund(self, state: State, now: int, cost: int) -> None:
        """Give back `cost`, as much of it as is used."""

    @abstractmethod
    def idle_us(self, state: State, now: int) -> int:
        """Return microseconds after which the state says no more than a fresh one, so that it can be forgotten."""

    @abstractmethod
    def dump(self, state: State) -> str:
        """Write a state down: whole numbers and words with single spaces."""

    @abstractmethod
    def load(self, text: str) -> State:
        """Read what `dump` wrote."""

    @abstractmethod
    def lua_args(self, now: int) -> tuple[int, ...]:
        """Return the numbers that the rule's Lua function takes; `now` is only near the server's time."""


def pairs(text: str) -> list[list[int]]:
    """Read whole numbers two by two."""
    numbers = [int(word) for word in text.split()]
    return [[numbers[at], numbers[at + 1]] for at in range(0, len(numbers), 2)]
