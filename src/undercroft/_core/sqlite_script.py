"""SQL scripts, statement by statement: `executescript` would commit the transaction that they are to run in."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator


def statements(script: str) -> Iterator[str]:
    """Split at the semicolons that end a statement, not at those in a trigger's body or in text."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
