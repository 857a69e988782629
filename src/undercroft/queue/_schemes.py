"""The queue's engines by URL scheme."""

from __future__ import annotations

from importlib.util import find_spec

from undercroft._core.clock import Clock
from undercroft._core.errors import MissingExtraError
from undercroft._core.extras import Schemes
from undercroft._core.url import Url
from undercroft.queue._protocol import Engine

_REDIS = "undercroft.queue.redis:RedisQueue"
# Those of `undercroft.connections.redis`, which is not imported for their names; a test compares them.
_REDIS_SCHEMES = (
    "redis",
    "rediss",
    "redis+unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)
SCHEMES = Schemes(
    "queue",
    {
        "memory": "undercroft.queue.memory:MemoryQueue",
        "sqlite": "undercroft.queue.sqlite:SqliteQueue",
        **dict.fromkeys(_REDIS_SCHEMES, _REDIS),
    },
)


def open_engine(url: Url, *, what: str, clock: Clock | None = None) -> Engine:
    """Build the engine that `url` names. Connects to nothing yet; `what` is the setting it came from.

    Raises:
        ConfigError: There is no engine for the scheme, or an option of the URL is wrong.
        MissingExtraError: A package that the engine needs is not installed.
    """
    if url.scheme in _REDIS_SCHEMES:
        _require_bullmq(f"{what}: a queue on {url.scheme}://")
    engine: Engine = SCHEMES.load(url, what=what).from_url(url, what=what, clock=clock)
    return engine


def _require_bullmq(needed_for: str) -> None:
    # Looked for, not imported: its scripts are files, and the package would load a client of its own.
    for package in ("redis", "bullmq"):
        if find_spec(package) is None:
            raise MissingExtraError(
                f"{needed_for} needs the package {package!r}, which is not installed",
                hint="pip install 'undercroft[bullmq]'",
            )
