"""How APP is written: `module`, `module:attribute`, `path/to/file.py` or `path/to/file.py:attribute`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from undercroft.cli._errors import AppReferenceError

_FILE = re.compile(r"(?P<target>.+\.py)(?::(?P<attribute>[^:]*))?")
_MODULE = re.compile(r"(?P<target>[^:]+)(?::(?P<attribute>[^:]*))?")
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed APP."""

    target: str
    """A dotted module name, or a path that ends in `.py`."""
    attribute: str | None
    """May be dotted; `None` when APP names a module only."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `text`.

        Raises:
            AppReferenceError: It has none of the forms.
        """
        match = _FILE.fullmatch(text) or _MODULE.fullmatch(text)
        if match is None:
            raise _error(text, "it has more than one colon, or nothing before it")
        target, attribute = match["target"], match["attribute"]
        if not target.endswith(".py") and not _DOTTED.fullmatch(target):
            what = "a path must end in .py" if "/" in target else f"{target!r} is not a module's dotted name"
            raise _error(text, what)
        if attribute is not None and not _DOTTED.fullmatch(attribute.removesuffix("()")):
            raise _error(text, f"{attribute!r} is not a name" if attribute else "nothing follows the colon")
        return cls(target, attribute.removesuffix("()") if attribute else None)

    @property
    def path(self) -> Path | None:
        """The file, when APP names one."""
        return Path(self.target) if self.target.endswith(".py") else None

    def __str__(self) -> str:
        return self.target if self.attribute is None else f"{self.target}:{self.attribute}"


def _error(text: str, what: str) -> AppReferenceError:
    return AppReferenceError(
        f"APP {text!r} cannot be read: {what}",
        hint="write module:attribute, as in shop.app:app, or path/to/file.py:attribute; without the attribute the "
        "module is searched",
    )
