"""Faces whose names are loaded on first use, so that importing a module costs what is used of it (PEP 562)."""

from __future__ import annotations

from collections.abc import Callable, Mapping


def load_late(module: str, files: Mapping[str, tuple[str, ...]]) -> Callable[[str], object]:
    """Return the `__getattr__` of `module`, whose names are in these files.

        __getattr__ = load_late(__name__, {"_checks": ("HealthChecks",)})

    Args:
        files: Below `module`; each with the names it has.
    """
    file_of = {name: file for file, names in files.items() for name in names}

    def get(name: str) -> object:
        from importlib import import_module

        if name not in file_of:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return getattr(import_module(f"{module}.{file_of[name]}"), name)

    return get
