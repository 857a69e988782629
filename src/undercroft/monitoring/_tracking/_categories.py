"""What sort of trouble an exception is, by its class; never by its words, which change with versions and languages."""

from __future__ import annotations

import errno
from enum import StrEnum
from typing import TypeAlias

from undercroft._core.errors import ConfigError, InvalidDataError, Kind, UndercroftError
from undercroft.monitoring._tracking._frames import leaves_of


class ErrorCategory(StrEnum):
    """What sort of trouble an error is."""

    CANCELLED = "cancelled"
    """The work was given up on purpose: cancellation, Ctrl-C, exit."""
    TIMEOUT = "timeout"
    NETWORK = "network"
    """No connection, or a broken one; also what HTTP clients raise."""
    DATABASE = "database"
    RESOURCE = "resource"
    """The machine ran out of something: memory, disk, open files."""
    PERMISSION = "permission"
    NOT_FOUND = "not_found"
    """A file or module is missing."""
    VALIDATION = "validation"
    """Data that came in does not fit."""
    CONFIGURATION = "configuration"
    UNAVAILABLE = "unavailable"
    """Something outside did not answer; a retry may help."""
    REFUSED = "refused"
    """A limit, a conflict, a wrong signature."""
    PROGRAMMING = "programming"
    """A mistake in the code: a wrong type, name, key or assumption."""
    UNKNOWN = "unknown"


_Table: TypeAlias = tuple[tuple[tuple[type[BaseException], ...], ErrorCategory], ...]
_FIRST: _Table = (
    ((InvalidDataError, UnicodeError), ErrorCategory.VALIDATION),
    ((ConfigError,), ErrorCategory.CONFIGURATION),
    ((TimeoutError,), ErrorCategory.TIMEOUT),
    ((ConnectionError,), ErrorCategory.NETWORK),
    ((PermissionError,), ErrorCategory.PERMISSION),
    ((FileNotFoundError, ModuleNotFoundError), ErrorCategory.NOT_FOUND),
    ((MemoryError, RecursionError), ErrorCategory.RESOURCE),
)
_MISTAKES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    NotImplementedError,
    StopAsyncIteration,
    StopIteration,
    SyntaxError,
    TypeError,
)
_LAST: _Table = ((_MISTAKES, ErrorCategory.PROGRAMMING), ((ValueError,), ErrorCategory.VALIDATION))
# By the package that a class, or one that it inherits from, is of; nothing is imported for it.
_BY_PACKAGE = {
    **dict.fromkeys(
        ("asyncmy", "asyncpg", "psycopg", "pymongo", "pymysql", "redis", "sqlalchemy", "sqlite3"),
        ErrorCategory.DATABASE,
    ),
    **dict.fromkeys(
        ("aiohttp", "httpcore", "httpcore2", "httpx", "httpx2", "requests", "socket", "ssl", "urllib3", "websockets"),
        ErrorCategory.NETWORK,
    ),
    **dict.fromkeys(("jsonschema", "msgspec", "pydantic", "pydantic_core"), ErrorCategory.VALIDATION),
}
_BY_KIND = {
    Kind.UNAVAILABLE: ErrorCategory.UNAVAILABLE,
    Kind.REFUSED: ErrorCategory.REFUSED,
    Kind.MISUSE: ErrorCategory.PROGRAMMING,
}
_BY_ERRNO = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM), ErrorCategory.RESOURCE),
    **dict.fromkeys(
        (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRINUSE, errno.EADDRNOTAVAIL),
        ErrorCategory.NETWORK,
    ),
}
_MAX_CAUSES = 10


def categorize_error(exc: BaseException) -> ErrorCategory:
    """Return what sort of trouble `exc` is.

    By its class and those that it inherits from; where those do not tell, by its cause's, and so on. A group (PEP 654)
    is what all of its exceptions are, or `unknown` if they differ.
    """
    categories = {_along_the_causes(leaf) for leaf in leaves_of(exc)}
    return categories.pop() if len(categories) == 1 else ErrorCategory.UNKNOWN


def _along_the_causes(exc: BaseException) -> ErrorCategory:
    current: BaseException | None = exc
    for _ in range(_MAX_CAUSES):
        category = None if current is None else _category_of(current)
        if category is not None or current is None:
            return category or ErrorCategory.UNKNOWN
        current = current.__cause__
    return ErrorCategory.UNKNOWN


def _category_of(exc: BaseException) -> ErrorCategory | None:
    if not isinstance(exc, Exception):
        return ErrorCategory.CANCELLED
    by_errno = _BY_ERRNO.get(exc.errno or 0) if isinstance(exc, OSError) else None
    by_kind = _BY_KIND[exc.kind] if isinstance(exc, UndercroftError) else None
    return by_errno or _by_class(exc, _FIRST) or by_kind or _by_package(exc) or _by_class(exc, _LAST)


def _by_class(exc: BaseException, table: _Table) -> ErrorCategory | None:
    return next((category for kinds, category in table if isinstance(exc, kinds)), None)


def _by_package(exc: BaseException) -> ErrorCategory | None:
    packages = (str(kind.__module__).partition(".")[0] for kind in type(exc).__mro__)
    return next((_BY_PACKAGE[package] for package in packages if package in _BY_PACKAGE), None)
