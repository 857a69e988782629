"""Where an exception was raised, in words that stay the same from one deployment and one machine to the next.

A place is `module:function`, the function by its qualified name: `shop.pay:Checkout.charge`. Line numbers change with
every edit, paths with every machine, messages with every order; none of them is part of a place.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Sequence
from types import FrameType, TracebackType
from typing import NamedTuple

_LIBRARY = ("/site-packages/", "/dist-packages/")
_STANDARD_LIBRARY = os.path.dirname(os.__file__).replace(os.sep, "/") + "/"  # noqa: PTH120 - pathlib is not needed else
_MAX_FRAMES = 500
"""How many of a traceback's innermost frames are looked at: endless recursion has as many as the interpreter allows."""


class Frame(NamedTuple):
    """One call of a traceback."""

    place: str
    """`module:function`."""
    line: int
    is_in_app: bool

    def __str__(self) -> str:
        return f"{self.place} line {self.line}"


class InApp:
    """Tells the application's own frames from those of libraries. Immutable.

    Args:
        packages: Names of the application's packages, `("shop",)`. Without any, everything is the application's that is
            neither in `site-packages` (or `dist-packages`), nor of the standard library, nor undercroft. An application
            that is itself installed there as a wheel must be named.
    """

    def __init__(self, packages: Sequence[str] = ()) -> None:
        self._packages = (packages,) if isinstance(packages, str) else tuple(packages)

    def __call__(self, module: str, filename: str) -> bool:
        if self._packages:
            return any(module == name or module.startswith(f"{name}.") for name in self._packages)
        if module == "undercroft" or module.startswith("undercroft."):
            return False
        path = filename.replace(os.sep, "/")
        if path.startswith(("<frozen ", _STANDARD_LIBRARY)):
            return False
        return not any(folder in path for folder in _LIBRARY)


def frames_of(exc: BaseException, in_app: InApp) -> list[Frame]:
    """Return the frames of an exception's traceback, the innermost first; none if it was never raised."""
    frames: deque[Frame] = deque(maxlen=_MAX_FRAMES)
    traceback: TracebackType | None = exc.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        module = _module_of(frame)
        frames.appendleft(
            Frame(
                f"{module}:{frame.f_code.co_qualname}",
                traceback.tb_lineno,
                in_app(module, frame.f_code.co_filename),
            )
        )
        traceback = traceback.tb_next
    return [*frames]


def telling_places(frames: Iterable[Frame], *, limit: int) -> list[str]:
    """Return the places that tell one error from another: the innermost `limit` of the application's own.

    Each once, so that the depth of a recursion is no difference. An exception that passed no frame of the application
    is told by the frames of the libraries it did pass.
    """
    frames = list(frames)
    own = [frame.place for frame in frames if frame.is_in_app]
    return list(dict.fromkeys(own or [frame.place for frame in frames]))[:limit]


def type_name(exc: BaseException) -> str:
    """Return the type as it is imported: `KeyError`, `shop.errors.PaymentError`."""
    kind = type(exc)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def leaves_of(exc: BaseException, *, limit: int = 50) -> list[BaseException]:
    """Return the exceptions inside a group, at any depth, or the exception itself, which has none inside."""
    leaves: list[BaseException] = []
    waiting = [exc]
    while waiting and len(leaves) < limit:
        current = waiting.pop()
        if isinstance(current, BaseExceptionGroup):
            waiting.extend(reversed(current.exceptions))
        else:
            leaves.append(current)
    return leaves


def _module_of(frame: FrameType) -> str:
    name = frame.f_globals.get("__name__")
    if name in ("__main__", "__mp_main__"):  # `python -m shop.worker` is shop.worker, however it was started
        name = getattr(frame.f_globals.get("__spec__"), "name", None) or "__main__"
    return name if isinstance(name, str) else "?"
