"""One database server as SQLAlchemy sees it: an engine with our pool, our errors and our deadlines.

Imported once a `Database` is used, since it imports SQLAlchemy.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_, greenlet_spawn

from undercroft._core.durations import format_seconds
from undercroft._core.errors import UndercroftError
from undercroft.connections.sql._errors import (
    ConnectionLostError,
    DatabaseError,
    DatabaseRefusedError,
    DatabaseUnavailableError,
    StatementTimeoutError,
)
from undercroft.connections.sql._pool import WaitingPool
from undercroft.connections.sql._protocol import DialectName, Driver, PoolRules
from undercroft.connections.sql._statements import StatementWatch
from undercroft.connections.sql._waiting import Deadline, end, wait_out
from undercroft.logging import Logger

if TYPE_CHECKING:
    from sqlalchemy.engine import ExceptionContext
    from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect

_PING_AFTER_S = 1.0
"""A connection that was idle for longer is tested before it is given out; one in constant use costs nothing."""
_CLOSE_S = 2.0
_HANDSHAKE_S = 1.0
_log = Logger(module="undercroft.connections.sql")


class Node:
    """An engine for one driver, in one event loop. Connects on first use; `close` ends it for good."""

    def __init__(self, driver: Driver, rules: PoolRules) -> None:
        self.driver = driver
        self.what = rules.what
        self.engine: AsyncEngine = create_async_engine(
            **driver.engine_arguments(), poolclass=WaitingPool, rules=rules, hide_parameters=True
        )
        self.read_only: AsyncEngine = self.engine.execution_options(**driver.read_only_options)
        event.listen(self.engine.sync_engine, "do_connect", self._connect)
        StatementWatch(self.engine.sync_engine, lambda: self.dialect)
        event.listen(self.engine.sync_engine, "handle_error", self._explain)
        if driver.is_remote:
            event.listen(self.engine.sync_engine, "checkout", self._test_idle)
        driver.listen(self.engine, self.read_only)
        self.pool.explain = self._explain_connecting

    @property
    def pool(self) -> WaitingPool:
        """The engine's pool."""
        pool = self.engine.sync_engine.pool
        assert isinstance(pool, WaitingPool)
        return pool

    @property
    def dialect(self) -> DialectName:
        """What the server is, as far as it is known: MySQL and MariaDB tell only when they are connected."""
        if getattr(self.engine.dialect, "is_mariadb", False):
            return "mariadb"
        return self.driver.dialect

    async def ask(self, statement: str) -> Any:
        """Return the one value of a statement."""
        with self.translated():
            async with self.engine.connect() as connection:
                return (await connection.execute(text(statement))).scalar_one()

    async def close(self) -> None:
        """Close every connection, in a few seconds whatever the server does; say which were still in use."""
        pool = self.pool
        uses = pool.uses()
        pool.shut()
        if uses:
            _log.warning(
                "connections were still in use when their database was closed; they are cut",
                database=self.what,
                in_use=len(uses),
                uses=list(map(str, uses)),
            )
        with anyio.move_on_after(_CLOSE_S, shield=True):
            await self.engine.dispose()
        with anyio.move_on_after(_CLOSE_S, shield=True):
            await greenlet_spawn(pool.terminate)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn what SQLAlchemy says about the driver into our errors, where `handle_error` did not; its own pass."""
        try:
            yield
        except DBAPIError as exc:
            raise self.explained(exc) from exc.orig

    def explained(self, exc: DBAPIError) -> Exception:
        """Return our error for SQLAlchemy's, or itself."""
        return (self.driver.translate(exc.orig) if exc.orig is not None else None) or exc

    def _connect(
        self, dialect: Dialect, _: object, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> DBAPIConnection:
        connect = partial(self.driver.connect, dialect, arguments, options)
        return await_(_connected(connect, self.driver.connect_timeout_s))

    def _explain_connecting(self, exc: Exception) -> Exception | None:
        """Return our error for one of connecting, or of what SQLAlchemy asks a new connection; `None` for others."""
        if isinstance(exc, UndercroftError):
            return None
        problem = self.driver.translate(exc)
        if problem is None or type(problem) is DatabaseUnavailableError:
            # What the operating system said is plainer, and the same with every driver.
            limit = self.driver.connect_timeout_s
            problem = _unreachable(_system_error(exc) or exc, self.driver.place, limit) or problem
        return None if problem is None else _while_connecting(problem, self.what)

    def _explain(self, context: ExceptionContext) -> BaseException | None:
        exc = context.original_exception
        if isinstance(exc, UndercroftError) or _is_expected_by_sqlalchemy(context):
            return None
        problem = self.driver.translate(exc) or _broken(exc, self.driver.place)
        if isinstance(problem, ConnectionLostError):
            context.is_disconnect = True
        return problem

    def _test_idle(self, dbapi_connection: DBAPIConnection, entry: Any, _: object) -> None:
        """Test a connection that was idle; when it is dead, so are all that are as old."""
        if self.pool.take_idle_s(entry) < _PING_AFTER_S:
            return
        try:
            with Deadline(self.driver.connect_timeout_s):
                self.engine.dialect.do_ping(dbapi_connection)
        except Exception as exc:
            raise InvalidatePoolError from exc


async def _connected(connect: Callable[[], DBAPIConnection], limit_s: float) -> DBAPIConnection:
    """Return a new connection within the limit, and leave none behind when cancelled.

    A handshake that is broken off counts against us at the server (MySQL blocks hosts for it), so a cancelled caller
    waits a moment for its end.
    """
    connecting = asyncio.create_task(greenlet_spawn(connect), name="undercroft sql connect")
    try:
        done, _ = await asyncio.wait({connecting}, timeout=limit_s)
    except asyncio.CancelledError:
        await wait_out(connecting, _HANDSHAKE_S)
        if not connecting.done():
            await end(connecting, _HANDSHAKE_S)
        if connecting.done() and not connecting.cancelled() and connecting.exception() is None:
            terminating = asyncio.create_task(greenlet_spawn(connecting.result().terminate))
            await wait_out(terminating, _CLOSE_S)
        raise
    if not done:
        await end(connecting, _HANDSHAKE_S)
        raise TimeoutError
    return connecting.result()


def _is_expected_by_sqlalchemy(context: ExceptionContext) -> bool:
    """Tell whether SQLAlchemy catches its own error: it looks whether a MySQL table is there by describing it."""
    running = context.execution_context
    options = {} if running is None else running.execution_options
    return context.is_pre_ping or bool(options.get("skip_user_error_events"))


def _system_error(exc: BaseException | None) -> OSError | None:
    while exc is not None:
        if isinstance(exc, OSError):
            return exc
        exc = exc.__cause__ or exc.__context__
    return None


def _unreachable(exc: Exception, place: str, limit_s: float) -> DatabaseError | None:
    if isinstance(exc, TimeoutError):
        return DatabaseUnavailableError(f"{place} did not answer within {format_seconds(limit_s)}")
    if isinstance(exc, socket.gaierror):
        return DatabaseUnavailableError(f"{place}: this host name is not known", hint="look at the URL and at the DNS")
    if isinstance(exc, ssl.SSLError):
        return DatabaseRefusedError(
            f"{place}: TLS failed: {exc.reason or exc}", hint="look at ?ssl= and ?ssl_ca=, and at the host's name"
        )
    if isinstance(exc, ConnectionError) and "SSL" in str(exc):
        return DatabaseRefusedError(f"{place} does not offer TLS", hint="look at ?ssl=")
    if isinstance(exc, OSError):
        hint = "is the server running, and does it listen there?"
        return DatabaseUnavailableError(f"{place} refused the connection: {exc.strerror or exc}", hint=hint)
    return None


def _while_connecting(problem: DatabaseError, what: str) -> DatabaseError:
    """Return the error as one of connecting: nothing was lost that had not begun."""
    message = f"{what}: {problem.message}"
    if isinstance(problem, ConnectionLostError):
        return DatabaseUnavailableError(message, hint=problem.hint, vendor_code=problem.vendor_code)
    problem.message = message
    problem.args = (message,)
    return problem


def _broken(exc: BaseException, place: str) -> DatabaseError | None:
    """Return our error for what the operating system, or a deadline of ours, said during a statement."""
    if isinstance(exc, TimeoutError):
        return StatementTimeoutError(
            f"{place} did not answer in time", hint="make the statement faster, or raise ?statement_timeout_s="
        )
    if isinstance(exc, OSError):
        return ConnectionLostError(f"{place}: {exc.strerror or exc}")
    return None
