"""What no guard refuses: probes and scrapes."""

from __future__ import annotations

from undercroft.asgi._types import Scope
from undercroft.health import PROBE_PATHS
from undercroft.monitoring import METRICS_PATH


def is_probe(scope: Scope, path: str) -> bool:
    """Tell whether a request is one of a probe or a scrape; `path` is its path below the mount."""
    is_asking = scope["type"] == "http" and scope.get("method") in ("GET", "HEAD")
    return is_asking and (path in PROBE_PATHS or path == METRICS_PATH)
