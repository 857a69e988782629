"""The root of everything undercroft raises on purpose.

    UndercroftError                     code, kind, hint, near, http_status
    ├── ConfigError        (ValueError)   a setting, URL or environment variable is wrong
    │   ├── InvalidSettingsError          several of them, found together
    │   └── MissingExtraError (ImportError)  a backend's package is not installed
    ├── NotBoundError      (LookupError)  no Infra is bound where one is needed
    ├── NotOpenError       (RuntimeError) a part is used before it was opened or after it was closed
    ├── InvalidDataError   (ValueError)   a value does not fit its declared type
    └── CloseTimeoutError  (TimeoutError) a part did not close within its share of the deadline

Each module adds its own small tree in its `_errors.py`. Codes are stable: `UC` and four digits, never reused.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import ClassVar


class Kind(StrEnum):
    """What a caller can do about an error."""

    MISUSE = "misuse"
    """Fix the code or the configuration; a retry gives the same answer."""
    UNAVAILABLE = "unavailable"
    """Something outside did not answer; a retry may help."""
    REFUSED = "refused"
    """The request was understood and denied: bad input, a limit, a conflict, a wrong signature."""


class UndercroftError(Exception):
    """Base of every error undercroft raises on purpose.

    `str(error)` is the code and the message, then one line each for near names and for what to do. Messages carry
    the value that was seen, never a secret, a token, a whole URL or a payload.
    """

    code: ClassVar[str] = "UC0000"
    kind: ClassVar[Kind] = Kind.MISUSE
    http_status: ClassVar[int] = 500
    """The status an HTTP edge answers with; its problem document carries `code` and, below 500, the message."""

    def __init__(
        self, message: str, *, hint: str | None = None, near: Sequence[str] = (), retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.near = tuple(near)
        self.retry_after = retry_after
        """Seconds after which a retry may help, where that is known."""

    def __str__(self) -> str:
        lines = [f"{self.code} {self.message}"]
        if self.near:
            lines.append(f"  near: {', '.join(self.near)}")
        if self.hint:
            lines.append(f"  do:   {self.hint}")
        return "\n".join(lines)


class ConfigError(UndercroftError, ValueError):
    """A setting, URL or environment variable is wrong."""

    code = "UC0201"


class InvalidSettingsError(ConfigError):
    """Several settings are wrong; `problems` holds each, in the order they were found."""

    code = "UC0200"

    def __init__(self, problems: Sequence[ConfigError]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        super().__init__(f"{count} problem{'' if count == 1 else 's'} in the configuration")

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"- {problem}" for problem in self.problems)])


class MissingExtraError(ConfigError, ImportError):
    """A backend needs a package that is not installed; the hint is the pip line."""

    code = "UC0203"


class NotBoundError(UndercroftError, LookupError):
    """A function of the face was called where no `Infra` is bound."""

    code = "UC0301"


class NotOpenError(UndercroftError, RuntimeError):
    """A part was used before its `Infra` was opened, or after it was closed."""

    code = "UC0302"


class CloseTimeoutError(UndercroftError, TimeoutError):
    """A part did not close within its share of the deadline; the parts after it were closed all the same."""

    code = "UC0304"
    kind = Kind.UNAVAILABLE


class InvalidDataError(UndercroftError, ValueError):
    """A value does not fit its declared type; the message names the place inside the value."""

    code = "UC0102"
    kind = Kind.REFUSED
    http_status = 422


def near_names(name: str, known: Iterable[str], *, limit: int = 3) -> list[str]:
    """Return up to `limit` of `known` that look like `name`, nearest first, ignoring case."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.casefold(), by_folded, n=limit, cutoff=0.6)
    return [by_folded[match] for match in matches]
