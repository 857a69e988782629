"""The blocks of a session and of a connection: whatever ends one, its connection goes back to the pool or is closed.

Imported once a `Database` is used, since it imports SQLAlchemy.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from undercroft.connections.sql._errors import ConnectionLostError, DatabaseUnavailableError
from undercroft.connections.sql._pool import mark
from undercroft.connections.sql._protocol import Site
from undercroft.connections.sql._waiting import end, wait_out

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.orm import SessionTransaction

    from undercroft.connections.sql._node import Node

_END_S = 5.0
"""For the rollback at the end of a block; after it the connection is closed instead."""
_SITE = "undercroft_site"


class _Session(Session):
    """Knows where it was asked for, and says so to the pool whenever it takes a connection."""


@event.listens_for(_Session, "after_begin")
def _mark(session: Session, _: SessionTransaction, connection: Connection) -> None:
    mark(connection.connection.record_info, session.info.get(_SITE))


def new_session(engine: AsyncEngine, site: Site | None) -> AsyncSession:
    """Return a session that takes a connection at its first statement, and keeps objects usable after a commit."""
    return AsyncSession(engine, sync_session_class=_Session, expire_on_commit=False, info={_SITE: site})


@asynccontextmanager
async def session_scope(
    node: Node, site: Site | None, *, commits: bool, is_read_only: bool
) -> AsyncIterator[AsyncSession]:
    """A session, closed at the end; with `commits`, after a commit unless the block raised."""
    session = new_session(node.read_only if is_read_only else node.engine, site)
    try:
        yield session
        if commits:
            await _commit(session)
    except BaseException as exc:
        await _end(session.close)
        if isinstance(exc, DBAPIError):
            raise node.explained(exc) from exc.orig
        raise
    # Not in a task of its own: one that is cancelled right now costs its connection, and all others cost less.
    with suppress(DatabaseUnavailableError):
        await session.close()


@asynccontextmanager
async def connection_scope(node: Node, site: Site | None) -> AsyncIterator[AsyncConnection]:
    """A connection, given back at the end; what was not committed is rolled back."""
    with node.translated():
        connection = node.engine.connect()
        await connection.start()
        try:
            mark(connection.sync_connection.connection.record_info if connection.sync_connection else None, site)
            yield connection
        except BaseException:
            await _end(connection.close)
            raise
        await _end(connection.close)


@asynccontextmanager
async def savepoint_scope(node: Node, session: AsyncSession) -> AsyncIterator[AsyncSession]:
    """A savepoint in a session's transaction: released at the end, rolled back to when the block raised."""
    with node.translated():
        async with session.begin_nested():
            yield session


async def _commit(session: AsyncSession) -> None:
    if session.new or session.dirty or session.deleted:
        await (
            session.flush()
        )  # apart from the commit: when the connection breaks here, it is known that nothing is there
    try:
        await session.commit()
    except ConnectionLostError as exc:
        exc.is_outcome_unknown = True
        exc.hint = "it broke during the commit: look whether the data is there before doing it again"
        raise


async def _end(close: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Roll back what is open and give the connection back, before a cancellation goes on, and in a few seconds.

    In a task of its own, which is waited for: asyncio has no other shield, and a rollback that is cancelled costs the
    connection.
    """
    closing = asyncio.create_task(close(), name="undercroft sql close")
    cancelled = await wait_out(closing, _END_S)
    if not closing.done():
        cancelled = await end(closing, _END_S) or cancelled
    if cancelled is not None:
        raise cancelled
    if closing.done() and not closing.cancelled():
        with suppress(DatabaseUnavailableError):  # it broke: the pool has thrown it away, the server has rolled back
            closing.result()
