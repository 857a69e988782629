"""What sort of trouble an exception is."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import sqlite3

import msgspec
import pytest

from undercroft._core.errors import ConfigError, InvalidDataError, Kind, UndercroftError
from undercroft.monitoring import ErrorCategory, categorize_error


class NoAnswer(UndercroftError):
    kind = Kind.UNAVAILABLE


class NotNow(UndercroftError):
    kind = Kind.REFUSED


class NoAnswerInTime(UndercroftError, TimeoutError):
    kind = Kind.UNAVAILABLE


@pytest.mark.parametrize(
    ("exc", "category"),
    [
        (asyncio.CancelledError(), "cancelled"),
        (KeyboardInterrupt(), "cancelled"),
        (TimeoutError(), "timeout"),
        (NoAnswerInTime("late"), "timeout"),
        (ConnectionResetError(), "network"),
        (socket.gaierror(-2, "Name or service not known"), "network"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "network"),
        (sqlite3.OperationalError("no such table"), "database"),
        (OSError(errno.ENOSPC, "No space left on device"), "resource"),
        (OSError(errno.EMFILE, "Too many open files"), "resource"),
        (MemoryError(), "resource"),
        (RecursionError(), "resource"),
        (PermissionError(), "permission"),
        (FileNotFoundError(), "not_found"),
        (ModuleNotFoundError(), "not_found"),
        (InvalidDataError("age"), "validation"),
        (msgspec.ValidationError("age"), "validation"),
        (json.JSONDecodeError("no", "", 0), "validation"),
        (ValueError(), "validation"),
        (ConfigError("REDIS_URL"), "configuration"),
        (NoAnswer("no"), "unavailable"),
        (NotNow("no"), "refused"),
        (UndercroftError("used wrongly"), "programming"),
        (KeyError(), "programming"),
        (TypeError(), "programming"),
        (ZeroDivisionError(), "programming"),
        (AssertionError(), "programming"),
        (Exception(), "unknown"),
        (OSError(), "unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_category_is_told_by_the_class(exc: BaseException, category: str) -> None:
    assert categorize_error(exc) == category


def test_error_that_says_nothing_is_what_its_cause_is() -> None:
    outer = Exception("cannot pay")
    outer.__cause__ = RuntimeError("cannot ask")
    outer.__cause__.__cause__ = ConnectionRefusedError()
    assert categorize_error(outer) is ErrorCategory.NETWORK


def test_circle_of_causes_is_unknown() -> None:
    first, second = Exception(), Exception()
    first.__cause__, second.__cause__ = second, first
    assert categorize_error(first) is ErrorCategory.UNKNOWN


def test_group_is_what_all_of_its_errors_are() -> None:
    assert categorize_error(ExceptionGroup("both", [TimeoutError(), TimeoutError()])) is ErrorCategory.TIMEOUT
    assert categorize_error(ExceptionGroup("both", [TimeoutError(), KeyError()])) is ErrorCategory.UNKNOWN
