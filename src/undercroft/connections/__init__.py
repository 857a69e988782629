"""Connections to services outside: databases, brokers, Google Pub/Sub.

Each is a module of its own with its own extra; nothing of them is loaded before it is named:

    from undercroft.connections import pubsub            # or: from undercroft.connections.pubsub import PubSub, Topic
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

_MODULES = {
    "mongo": "undercroft.connections.mongo",
    "pubsub": "undercroft.connections.pubsub",
    "redis": "undercroft.connections.redis",
    "sql": "undercroft.connections.sql",
}
"""Name here → module. A new connection adds its line."""

__all__ = sorted(_MODULES)  # noqa: PLE0605 - one list of names is enough


def __getattr__(name: str) -> ModuleType:
    if name in _MODULES:
        return import_module(_MODULES[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(sorted(_MODULES))}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
