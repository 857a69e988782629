"""How a command fails, in MongoDB's own codes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class Code(IntEnum):
    """MongoDB's error codes and names (src/mongo/base/error_codes.yml), those that this server uses."""

    InternalError = 1
    BadValue = 2
    Unauthorized = 13
    ProtocolError = 17
    AuthenticationFailed = 18
    IllegalOperation = 20
    NamespaceNotFound = 26
    IndexNotFound = 27
    CursorNotFound = 43
    NamespaceExists = 48
    CommandNotFound = 59
    ImmutableField = 66
    InvalidOptions = 72
    InvalidNamespace = 73
    IndexOptionsConflict = 85
    IndexKeySpecsConflict = 86
    NotImplemented = 238
    MechanismUnavailable = 334
    DuplicateKey = 11000
    Location40573 = 40573


class CommandFailed(Exception):  # noqa: N818 - it is an answer, and never leaves the server
    """A command, or one write of it, is answered with this error."""

    def __init__(self, code: Code, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details

    def as_reply(self) -> dict[str, Any]:
        """Return the reply of a command that failed."""
        return {"ok": 0.0, "errmsg": self.message, "code": int(self.code), "codeName": self.code.name, **self.details}

    def as_write_error(self, index: int) -> dict[str, Any]:
        """Return the entry in `writeErrors` for the write at `index`."""
        return {"index": index, "code": int(self.code), "errmsg": self.message, **self.details}


def refuse(arguments: Mapping[str, Any], *names: str) -> None:
    """Refuse arguments that would change the result and that mongomock would pass over in silence.

    Raises:
        CommandFailed: One of `names` is there, with a value that is not empty.
    """
    for name in names:
        if arguments.get(name):
            raise CommandFailed(Code.NotImplemented, f"this server stands in for MongoDB and has no {name!r}")
