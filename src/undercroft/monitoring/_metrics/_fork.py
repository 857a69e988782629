"""A child process begins to count anew, and never writes where its parent does."""

from __future__ import annotations

import os
import weakref
from _thread import RLock
from typing import Protocol


class Forking(Protocol):
    """What is told of a fork."""

    @property
    def lock(self) -> RLock:
        """Held from before the fork until after it, so that a child finds nothing half done."""

    def fork(self) -> None:
        """Begin anew; called in the child."""


def watch(registry: Forking) -> None:
    """Tell `registry` of forks, as long as it lives."""
    of = weakref.ref(registry)
    held: list[Forking] = []

    def before() -> None:
        living = of()
        if living is not None:
            living.lock.acquire()
            held.append(living)

    def after_in_parent() -> None:
        if held:
            held.pop().lock.release()

    def after_in_child() -> None:
        if held:
            living = held.pop()
            try:
                living.fork()
            finally:
                living.lock.release()

    os.register_at_fork(before=before, after_in_parent=after_in_parent, after_in_child=after_in_child)
