"""The infrastructure floor of a Python web application, in one library.

    from undercroft import Infra

    infra = Infra(jobs="shop.jobs")          # everything else from the environment; nothing connects yet

    async with infra:
        await infra.queue.enqueue(send_welcome, user_id=1)

Each part is a module of its own, loads nothing of the others, and has a face of plain functions that act on the bound
`Infra`: `undercroft.queue`, `undercroft.email`, `undercroft.health`, `undercroft.logging`, `undercroft.asgi`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from undercroft._core.errors import (
        ConfigError,
        InvalidDataError,
        InvalidSettingsError,
        MissingExtraError,
        NotBoundError,
        NotOpenError,
        UndercroftError,
    )
    from undercroft.app import Infra, current

__all__ = [
    "ConfigError",
    "Infra",
    "InvalidDataError",
    "InvalidSettingsError",
    "MissingExtraError",
    "NotBoundError",
    "NotOpenError",
    "UndercroftError",
    "__version__",
    "current",
]

__version__ = "0.1.0"

# Loaded on first use: `import undercroft` costs nothing, and a program that only logs never loads the queue.
_LAZY = dict.fromkeys(__all__, "undercroft._core.errors") | {"Infra": "undercroft.app", "current": "undercroft.app"}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _LAZY:
        raise AttributeError(f"module 'undercroft' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return __all__
