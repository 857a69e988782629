"""Pub/Sub's backends by URL scheme."""

from __future__ import annotations

from undercroft._core.clock import Clock
from undercroft._core.extras import Schemes
from undercroft._core.url import Url
from undercroft.connections.pubsub._protocol import Engine

SCHEMES = Schemes(
    "pubsub",
    {
        "memory": "undercroft.connections.pubsub.memory:MemoryPubSub",
        "pubsub": "undercroft.connections.pubsub.google:GooglePubSub",
    },
)


def open_engine(url: Url, *, what: str, clock: Clock | None = None) -> Engine:
    """Build the engine that `url` names. Connects to nothing yet.

    Args:
        url: `memory://`, `pubsub://my-project`, `pubsub://my-project?emulator=localhost:8085`.
        what: The setting it came from; named in errors.

    Raises:
        ConfigError: No backend for this scheme, no project, or an unknown option.
        MissingExtraError: Google's client is not installed.
    """
    engine: Engine = SCHEMES.load(url, what=what).from_url(url, what=what, clock=clock)
    return engine
