"""What pymongo raises, in our words. The one place where its errors are translated; imports pymongo."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bson.errors import BSONError
from pymongo import errors as driver

from undercroft._core.errors import ConfigError, NotOpenError, UndercroftError
from undercroft.connections.mongo._errors import (
    DocumentRefusedError,
    DuplicateKeyError,
    InvalidDocumentError,
    MongoAuthError,
    MongoError,
    MongoRefusedError,
    MongoTimeoutError,
    MongoUnavailableError,
    NoServerError,
    NotPrimaryError,
)

# github.com/mongodb/mongo, src/mongo/base/error_codes.yml
_DUPLICATE_KEYS = {11000, 11001, 12582}
_WRONG_CREDENTIALS, _NO_RIGHT = {11, 18, 8000}, {13}
_TIMES_UP, _VALIDATION, _WRITE_CONCERN = 50, 121, {64, 79, 100}
_INDEX_NAME = re.compile(r"index: (\S+) dup key")
_SELECTION_DETAILS = re.compile(r" \(configured timeouts:|, Timeout: ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What errors name."""

    server: str
    """The hosts and the database, without user, password and options."""
    setting: str
    """Where the URL came from."""


@contextmanager
def translated(place: Place, *, writes: bool = False) -> Iterator[None]:
    """Turn the driver's errors into ours. `writes`: a connection that breaks leaves it open what has happened."""
    try:
        yield
    except driver.PyMongoError as exc:
        raise _error_of(exc, place, writes=writes) from exc
    except (BSONError, OverflowError, UnicodeEncodeError) as exc:
        raise _unstorable(exc) from exc


def _error_of(exc: driver.PyMongoError, place: Place, *, writes: bool) -> UndercroftError:
    if isinstance(exc, driver.BulkWriteError | driver.OperationFailure):
        return _from_server(exc, place, writes=writes)
    if isinstance(exc, driver.ConnectionFailure):
        return _from_connection(exc, place, writes=writes)
    if isinstance(exc, driver.InvalidOperation) and "after close" in str(exc):
        return NotOpenError(f"the connection to {place.server} was closed", hint="use it inside `async with mongo:`")
    if isinstance(exc, driver.ConfigurationError):
        return ConfigError(f"{place.setting}: MongoDB's driver refuses it: {exc}")
    if isinstance(exc, BSONError):
        return _unstorable(exc)
    return MongoError(f"MongoDB's driver gave up: {type(exc).__name__}: {_shorten(str(exc))}")


def _unstorable(exc: Exception) -> InvalidDocumentError:
    # Not the driver's own text: it shows the value.
    return InvalidDocumentError(f"MongoDB cannot store the document: {type(exc).__name__}", hint=_BSON_LIMITS)


_BSON_LIMITS = "whole numbers have 64 bits, text is UTF-8 without NUL in keys, a document at most 16 MB and 100 levels"


def _from_connection(exc: driver.ConnectionFailure, place: Place, *, writes: bool) -> MongoUnavailableError:
    reason = _SELECTION_DETAILS.split(str(exc), maxsplit=1)[0]
    if isinstance(exc, driver.ServerSelectionTimeoutError):
        return NoServerError(
            f"no server of {place.server} was found in time: {reason}", hint=_selection_hint(reason, place)
        )
    if isinstance(exc, driver.NotPrimaryError):
        return NotPrimaryError(f"{place.server}: the server is no primary now", may_have_been_applied=writes)
    if isinstance(exc, driver.WaitQueueTimeoutError):
        return MongoTimeoutError(
            f"all connections to {place.server} were in use for too long",
            hint="run fewer operations at a time, or raise ?maxPoolSize=",
        )
    if exc.timeout:
        return MongoTimeoutError(f"{place.server} did not answer in time", may_have_been_applied=writes)
    return MongoUnavailableError(f"the connection to {place.server} broke: {reason}", may_have_been_applied=writes)


def _selection_hint(reason: str, place: Place) -> str:
    if "SSL" in reason or "TLS" in reason or "certificate" in reason:
        return f"check that {place.setting} and the server agree about TLS: ?tls=true, ?tlsCAFile=/path/ca.pem"
    if "Name or service" in reason or "getaddrinfo" in reason or "resolution" in reason:
        return f"check the host name in {place.setting}"
    if "replica set" in reason or "primary" in reason:
        return f"check ?replicaSet= and ?directConnection= in {place.setting}, and that the set has a primary"
    return f"start the server, or correct the host and port in {place.setting}"


def _from_server(exc: Any, place: Place, *, writes: bool) -> MongoError:
    details = _first_write_error(exc)
    code, name = details.get("code", exc.code), details.get("codeName")
    if code in _DUPLICATE_KEYS:
        return _duplicate(details, code, inserted=(exc.details or {}).get("nInserted", 0))
    if code == _TIMES_UP:
        return MongoTimeoutError(f"{place.server} stopped the command: it took too long", may_have_been_applied=writes)
    if code in _WRITE_CONCERN:
        return MongoUnavailableError(
            f"{place.server} did the write, and cannot promise that it lasts: {name or code}",
            may_have_been_applied=True,
        )
    if code in _WRONG_CREDENTIALS:
        return MongoAuthError(
            f"{place.server} does not accept the user and password",
            server_code=code,
            server_name=name,
            hint=f"check them, and ?authSource=, in {place.setting}; special characters must be percent-encoded",
        )
    if code in _NO_RIGHT:
        return MongoAuthError(
            f"{place.server}: this user may not do that",
            server_code=code,
            server_name=name,
            hint=f"give {place.setting} a user and password, or the user a role for it",
        )
    said = _shorten(str(details.get("errmsg", "")))
    if code == _VALIDATION:
        return DocumentRefusedError(f"{place.server}: {said}", server_code=code, server_name=name)
    return MongoRefusedError(f"{place.server} refused: {said} ({name or code})", server_code=code, server_name=name)


def _first_write_error(exc: Any) -> Mapping[str, Any]:
    details: Mapping[str, Any] = exc.details or {}
    for key in ("writeErrors", "writeConcernErrors"):
        if details.get(key):
            first: Mapping[str, Any] = details[key][0]
            return first
    return details


def _duplicate(details: Mapping[str, Any], code: int, *, inserted: int) -> DuplicateKeyError:
    found = _INDEX_NAME.search(str(details.get("errmsg", "")))
    pattern, index = details.get("keyPattern") or {}, found[1] if found else None
    keys = " and ".join(map(str, pattern)) or "key"
    return DuplicateKeyError(
        f"another document has the same {keys}" + (f" (unique index {index!r})" if index else ""),
        key_pattern=pattern,
        index=index,
        inserted=inserted,
        server_code=code,
    )


def _shorten(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
