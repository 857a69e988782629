"""The queue's backends by URL scheme."""

from __future__ import annotations

from undercroft._core.clock import Clock
from undercroft._core.extras import Schemes
from undercroft._core.url import Url
from undercroft.queue._protocol import Engine

SCHEMES = Schemes("queue", {"sqlite": "undercroft.queue.sqlite:SqliteQueue"})


def open_engine(url: Url, *, what: str, clock: Clock | None = None) -> Engine:
    """Build the engine that `url` names. Connects to nothing yet; `what` is the setting it came from."""
    engine: Engine = SCHEMES.load(url, what=what).from_url(url, what=what, clock=clock)
    return engine
