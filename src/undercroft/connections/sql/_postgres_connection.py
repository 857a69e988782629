"""SQLAlchemy's adapter of an asyncpg connection, which ends in order although its task is cancelled.

A cancelled statement must be cancelled on the server too, which asyncpg does through a connection of its own. anyio
cancels every await of a cancelled task, that one included; so the end has a task of its own, which is waited for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_connection
from sqlalchemy.util import await_
from sqlalchemy.util.concurrency import in_greenlet

from undercroft.connections.sql._waiting import end, wait_out

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect

_END_S = 2.5
"""A little more than what SQLAlchemy gives to the end in order."""


class EndingConnection(AsyncAdapt_asyncpg_connection):
    """One connection."""

    __slots__ = ()

    @classmethod
    def open(cls, dialect: Dialect, arguments: tuple[Any, ...], options: dict[str, Any]) -> Self:
        """Connect. Runs in SQLAlchemy's greenlet."""
        dbapi: Any = dialect.loaded_dbapi
        return await_(cls.create(dbapi, dbapi.asyncpg.connect(*arguments, **options)))

    def terminate(self) -> None:
        """Close in order, then by force; outside of a greenlet only by force."""
        if not in_greenlet():
            self._terminate_force_close()
            return
        closing = asyncio.get_running_loop().create_task(self._terminate_graceful_close(), name="undercroft sql end")
        cancelled = await_(wait_out(closing, _END_S))
        if not closing.done() or closing.cancelled() or closing.exception() is not None:
            self._terminate_force_close()
            cancelled = await_(end(closing, _END_S)) or cancelled
        if cancelled is not None:
            raise cancelled
