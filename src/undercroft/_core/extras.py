"""Late imports: a backend's file, and the third-party package it needs."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from undercroft._core.errors import ConfigError, MissingExtraError, near_names
from undercroft._core.url import Url


def require_module(name: str, *, extra: str, needed_for: str) -> Any:
    """Import and return module `name`.

    Raises:
        MissingExtraError: It is not installed; the hint is the pip line of `extra`.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is None or not f"{name}.".startswith(f"{exc.name}."):
            raise  # the package is there, and something it needs is not
        package = name.partition(".")[0]
        if exc.name != package:
            raise MissingExtraError(
                f"{needed_for} needs {name!r}, which the installed version of {package!r} does not have",
                hint=f"pip install --upgrade 'undercroft[{extra}]'",
            ) from exc
        raise MissingExtraError(
            f"{needed_for} needs the package {package!r}, which is not installed",
            hint=f"pip install 'undercroft[{extra}]'",
        ) from exc


class Schemes:
    """URL schemes of one part, and the class behind each. Frozen; imports a backend's file on first use."""

    def __init__(self, part: str, targets: Mapping[str, str]) -> None:
        self.part = part
        self._targets = dict(targets)

    @property
    def names(self) -> tuple[str, ...]:
        """The schemes there are."""
        return tuple(sorted(self._targets))

    def load(self, url: Url, *, what: str) -> Any:
        """Return the class for `url`, found by its scheme.

        Args:
            what: The setting the URL came from.

        Raises:
            ConfigError: There is no backend for this scheme.
        """
        target = self._targets.get(url.scheme)
        if target is None:
            raise ConfigError(
                f"{what}: the {self.part} has no backend for {url.scheme}://",
                near=near_names(url.scheme, self.names),
                hint=f"backends of this version: {', '.join(f'{name}://' for name in self.names)}",
            )
        module, _, attribute = target.partition(":")
        return getattr(import_module(module), attribute)
