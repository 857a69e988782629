"""MySQL's and MariaDB's errors, by their numbers.

https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html and, for the client's (2000 and up),
…/client-error-reference.html; MariaDB's own from https://mariadb.com/kb/en/mariadb-error-codes/.
"""

from __future__ import annotations

import re

from undercroft.connections.sql._errors import (
    ConnectionLostError,
    DatabaseAuthError,
    DatabaseError,
    DatabaseLockedError,
    DatabaseNotWritableError,
    DatabaseRefusedError,
    DatabaseUnavailableError,
    DatabaseValueError,
    IntegrityError,
    Rule,
    StatementError,
    StatementTimeoutError,
    TooManyConnectionsError,
    TransactionConflictError,
    UnknownDatabaseError,
    migrate_hint,
)

_RULES: dict[int, Rule] = {
    1022: "unique",
    1062: "unique",
    1169: "unique",
    1586: "unique",
    1048: "not null",
    1364: "not null",
    1216: "foreign key",
    1217: "foreign key",
    1451: "foreign key",
    1452: "foreign key",
    1761: "foreign key",
    1762: "foreign key",
    3819: "check",
    4025: "check",
}
_AGAIN = "run the whole transaction again"
_CLASSES: dict[type[DatabaseError], tuple[set[int], str | None]] = {
    DatabaseAuthError: (
        {1044, 1045, 1142, 1143, 1227, 1251, 1370, 1698, 1820, 2059, 2061, 4151},
        "check the user, its password and its grants",
    ),
    UnknownDatabaseError: ({1049}, "create it, or correct the name in the URL"),
    TooManyConnectionsError: ({1040, 1129, 1203, 1226}, "lower pool_size, or raise the server's max_connections"),
    TransactionConflictError: ({1020, 1213, 1637, 3572}, _AGAIN),
    DatabaseLockedError: ({1205, 1099, 1100}, "keep transactions short; look for one that is open"),
    DatabaseNotWritableError: (
        {3, 1021, 1036, 1114, 1290, 1792, 1836, 3100},
        "a replica, and a read-only session, only read: use transaction(); otherwise free space on the server's disk",
    ),
    StatementTimeoutError: ({1317, 1907, 1969, 3024}, "make the statement faster, or raise ?statement_timeout_s="),
    ConnectionLostError: ({1053, 1077, 1080, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 2014, 2055, 4031}, None),
    DatabaseUnavailableError: ({1152, 1153, 2002, 2003, 2005}, None),
    DatabaseRefusedError: ({1235, 1419}, None),
}
_BY_NUMBER = {number: (kind, hint) for kind, (numbers, hint) in _CLASSES.items() for number in numbers}
_VALUES = {1264, 1265, 1292, 1366, 1367, 1406, 1411, 1416, 1425, 1426, 1441, 1525, 1690, 3140, 3141, 3143}
_DISK_FULL = "28"  # ENOSPC, inside of 1030 and 1026

_KEY = re.compile(r" for key '(?:[^'.]*\.)?([^']*)'$")
_CONSTRAINT = re.compile(r"CONSTRAINT `([^`]+)`|[Cc]onstraint '([^']+)'")
_TABLE = re.compile(r"`[^`]+`\.`([^`]+)`")
_FIELD = re.compile(r"(?:Column|Field|column) '([^']+)'")


def translate_mysql(exc: BaseException, place: str) -> DatabaseError | None:
    """Return our error for asyncmy's, or `None` for what is not one.

    Args:
        place: The server and database; named in the message.
    """
    if not type(exc).__module__.startswith(("asyncmy", "aiomysql", "pymysql")):
        return None
    number = exc.args[0] if exc.args and isinstance(exc.args[0], int) else 0
    text = str(exc.args[1]) if len(exc.args) > 1 else str(exc)
    code = str(number) if number else None
    if number in _RULES:
        return _integrity(_RULES[number], text, str(number))
    if number in (1026, 1030) and f"rror {_DISK_FULL}" in text:
        number = 1021
    if number in _VALUES:
        return DatabaseValueError(f"a value does not fit{_on(text)}", vendor_code=code)
    if number in _BY_NUMBER:
        kind, hint = _BY_NUMBER[number]
        return kind(f"{place}: {text}", hint=hint, vendor_code=code)
    if "not connected" in text.lower() or "network operation failed" in text.lower():
        return ConnectionLostError(f"{place}: the connection is closed", vendor_code=code)
    # asyncmy writes values into the statement, and the server quotes the statement: keep the place, drop the rest.
    message = re.sub(r"near '(.{0,12}).*", r"near '\1…'", text, flags=re.DOTALL)
    return StatementError(f"{place}: {message}", hint=migrate_hint(text), vendor_code=code)


def _integrity(rule: Rule, text: str, code: str) -> IntegrityError:
    key, named, field = _KEY.search(text), _CONSTRAINT.search(text), _FIELD.search(text)
    table = _TABLE.search(text)
    constraint = key[1] if key else (named[1] or named[2]) if named else None
    return IntegrityError(
        rule=rule,
        constraint=constraint,
        table=table[1] if table else None,
        columns=[field[1]] if field and rule == "not null" else (),
        vendor_code=code,
    )


def _on(text: str) -> str:
    field = _FIELD.search(text)
    return f" column {field[1]!r}" if field else ""
