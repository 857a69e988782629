"""The queue's engines by URL scheme."""

from __future__ import annotations

from importlib.util import find_spec

from undercroft._core.clock import Clock
from undercroft._core.errors import MissingExtraError
from undercroft._core.stores import REDIS_SCHEMES, store_schemes
from undercroft._core.url import Url
from undercroft.queue._protocol import Engine

SCHEMES = store_schemes(
    "queue",
    memory="undercroft.queue.memory:MemoryQueue",
    sqlite="undercroft.queue.sqlite:SqliteQueue",
    redis="undercroft.queue.redis:RedisQueue",
)


def open_engine(url: Url, *, what: str, clock: Clock | None = None) -> Engine:
    """Build the engine that `url` names. Connects to nothing yet; `what` is the setting it came from.

    Raises:
        ConfigError: There is no engine for the scheme, or an option of the URL is wrong.
        MissingExtraError: A package that the engine needs is not installed.
    """
    if url.scheme in REDIS_SCHEMES:
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
