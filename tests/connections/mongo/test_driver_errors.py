"""Errors of the driver that the stand-in cannot provoke, turned into ours."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo import errors as driver

from undercroft._core.errors import ConfigError, Kind, NotOpenError, UndercroftError
from undercroft.connections.mongo import (
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
from undercroft.connections.mongo._driver_errors import Place, translated

PLACE = Place(server="mongodb://h/shop", setting="MONGODB_URI")


def failure(code: int, errmsg: str = "said so", **details: Any) -> driver.OperationFailure:
    return driver.OperationFailure(errmsg, code, {"code": code, "errmsg": errmsg, "codeName": "Name", **details})


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (driver.NotPrimaryError("not primary"), NotPrimaryError),
        (driver.AutoReconnect("connection closed"), MongoUnavailableError),
        (driver.NetworkTimeout("timed out"), MongoTimeoutError),
        (driver.WaitQueueTimeoutError("queue"), MongoTimeoutError),
        (driver.ExecutionTimeout("slow", 50, {"code": 50}), MongoTimeoutError),
        (driver.ServerSelectionTimeoutError("No replica set members found yet, Timeout: 5s, x"), NoServerError),
        (failure(64), MongoUnavailableError),
        (driver.WTimeoutError("w", 64, {"code": 64}), MongoUnavailableError),
        (failure(121), DocumentRefusedError),
        (failure(13), MongoAuthError),
        (failure(8000), MongoAuthError),
        (failure(2), MongoRefusedError),
        (failure(11000, keyPattern={"a": 1}), DuplicateKeyError),
        (driver.DuplicateKeyError("old server", 11000, None), DuplicateKeyError),
        (driver.BulkWriteError({"writeErrors": [{"code": 121, "errmsg": "x"}]}), DocumentRefusedError),
        (driver.BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"code": 64}]}), MongoUnavailableError),
        (driver.DocumentTooLarge("16 MB"), InvalidDocumentError),
        (OverflowError("8-byte ints"), InvalidDocumentError),
        (driver.ConfigurationError("no such host"), ConfigError),
        (driver.InvalidOperation("Cannot use AsyncMongoClient after close"), NotOpenError),
        (driver.InvalidOperation("something else"), MongoError),
    ],
)
def test_every_error_of_the_driver_has_one_of_ours(raised: Exception, expected: type[UndercroftError]) -> None:
    with pytest.raises(expected) as error, translated(PLACE, writes=True):
        raise raised

    assert type(error.value) is expected
    assert error.value.__cause__ is raised


def test_write_concern_that_failed_says_that_the_write_happened() -> None:
    with pytest.raises(MongoUnavailableError) as error, translated(PLACE):
        raise failure(64)

    assert error.value.may_have_been_applied


def test_read_never_may_have_been_applied() -> None:
    with pytest.raises(MongoUnavailableError) as error, translated(PLACE):
        raise driver.AutoReconnect("connection closed")

    assert not error.value.may_have_been_applied


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("SSL handshake failed: h:27017", "tls"),
        ("h:27017: [Errno -2] Name or service not known", "host name"),
        ("No primary available for writes", "replicaSet"),
        ("h:27017: [Errno 111] Connection refused", "start the server"),
    ],
)
def test_hint_follows_from_the_reason(reason: str, hint: str) -> None:
    with pytest.raises(NoServerError) as error, translated(PLACE):
        raise driver.ServerSelectionTimeoutError(f"{reason}, Timeout: 5s, Topology Description: <…>")

    assert hint in (error.value.hint or "")
    assert "MONGODB_URI" in (error.value.hint or "")
    assert "Topology" not in str(error.value)


def test_kinds() -> None:
    unavailable = (MongoUnavailableError, NoServerError, NotPrimaryError, MongoTimeoutError)
    refused = (MongoRefusedError, MongoAuthError, DuplicateKeyError, DocumentRefusedError, InvalidDocumentError)

    assert {error.kind for error in unavailable} == {Kind.UNAVAILABLE}
    assert {error.kind for error in refused} == {Kind.REFUSED}


def test_what_is_not_the_drivers_passes_through() -> None:
    with pytest.raises(KeyError), translated(PLACE):
        raise KeyError("x")
