"""What can go wrong with the store of recent spans and lines.

UndercroftError
├── RecentUnavailableError                the file did not answer
├── StoryNotFoundError    (LookupError)   nothing has this id
├── StoryAmbiguousError   (LookupError)   several ids begin like this
├── RecentMissingError    (ConfigError)   no process has kept anything here
└── RecentLevelError      (ConfigError)   lines of a level that there is not were asked for
"""

from __future__ import annotations

from undercroft._core.errors import ConfigError, Kind, UndercroftError


class RecentUnavailableError(UndercroftError):
    """The file of recent spans and lines cannot be read: damaged, locked too long, or not opened yet."""

    code = "UC1491"
    kind = Kind.UNAVAILABLE
    http_status = 503


class StoryNotFoundError(UndercroftError, LookupError):
    """No span and no line has this id, or one that begins with it. `id` is what was asked for."""

    code = "UC1492"
    kind = Kind.REFUSED
    http_status = 404

    def __init__(self, message: str, *, id: str, hint: str) -> None:  # noqa: A002 - the field's word
        super().__init__(message, hint=hint)
        self.id = id


class StoryAmbiguousError(UndercroftError, LookupError):
    """Several ids of different stories begin with this text. `candidates` are some of them."""

    code = "UC1493"
    kind = Kind.REFUSED
    http_status = 409

    def __init__(self, message: str, *, candidates: tuple[str, ...], hint: str) -> None:
        super().__init__(message, near=candidates, hint=hint)
        self.candidates = candidates


class RecentMissingError(ConfigError):
    """There is no file of recent spans and lines: no process has kept any here."""

    code = "UC1494"


class RecentLevelError(ConfigError):
    """Lines were asked for by a level that there is not."""

    code = "UC1495"
