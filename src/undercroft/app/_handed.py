"""Engines and transports that the application made itself and handed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from undercroft._core.errors import ConfigError
from undercroft.app._errors import AlreadyOpenError


@dataclass(slots=True, eq=False)
class HandedIn:
    """One object, and whether an `Infra` has it open. Shared by the copies that `Infra.override` makes.

    A part of the life cycle, entered just before the object itself: opening it a second time would leave its first
    connection to nobody.
    """

    argument: str
    value: Any
    _is_open: bool = False

    async def __aenter__(self) -> Self:
        if self._is_open:
            raise AlreadyOpenError(
                f"the {type(self.value).__name__} that was given as {self.argument}= is open in another Infra",
                hint=f"close that one first, or give each its own: infra.override({self.argument}=…)",
            )
        self._is_open = True
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._is_open = False


def handed_in(argument: str, given: object, *, method: str) -> HandedIn:
    """Return an object that was handed in for a part; one that another `Infra` holds already, with its state.

    Raises:
        ConfigError: It has no such method, so it was not made for that part.
    """
    if isinstance(given, HandedIn):
        return given
    if isinstance(given, type) or not hasattr(given, method):
        what = f"the class {given.__name__}" if isinstance(given, type) else f"of type {type(given).__name__}"
        raise ConfigError(
            f"argument {argument} is {what}, which cannot be used for it",
            hint="give a URL as text, or an object that was made for it",
        )
    return HandedIn(argument, given)
