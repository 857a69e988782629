"""The database that applications hold: sessions, transactions, a pool that waits, a replica."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Self

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import ConfigError, NotOpenError
from undercroft._core.extras import require_module
from undercroft._core.url import Url
from undercroft.connections.sql._errors import DatabaseUnavailableError, PoolExhaustedError
from undercroft.connections.sql._options import MAX_POOL_SIZE
from undercroft.connections.sql._protocol import DialectName, Driver, PoolRules, PoolStatus, Site
from undercroft.connections.sql._schemes import open_driver
from undercroft.logging import Logger

if TYPE_CHECKING:
    from sqlalchemy import MetaData
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

    from undercroft.connections.sql._node import Node

_VERSION = {"sqlite": "SELECT sqlite_version()", "postgresql": "SHOW server_version"}
_REPLICA_AGAIN_S = 5.0
"""How long an optional replica that could not be reached is left alone."""
_log = Logger(module="undercroft.connections.sql")


class Database:
    """One SQL database, and perhaps a replica of it. Lives as long as the application, for one event loop at a time.

    `async with` connects and proves it; leaving closes every connection. It can be entered again after that, and after
    entering failed. SQLAlchemy is imported when it is built, or with `is_lazy` at first use.

    Args:
        url: `sqlite:///var/app.db`, `mysql://…`, `mariadb://…` or `postgresql://user:password@host/db?…`.
        what: What the database is called in errors: the setting its URL came from.
        replica: Where `read_session()` reads. Entering fails when it cannot be reached, unless it is optional.
        is_replica_optional: Whether `read_session()` reads from the primary while the replica cannot be reached.
        pool_size: The most connections to each of the two; `?pool_size=` in the URL comes before it.
        pool_timeout: How long to wait for a free one; `?pool_timeout_s=` comes before it.
        clock: The time that waiting is measured by; the host's when `None`.
        is_lazy: Import nothing and connect to nothing before the first use, not even to prove it.

    Raises:
        ConfigError: A URL has an unknown scheme or option, or lacks something; a size or timeout is not one.
        MissingExtraError: SQLAlchemy or the driver is not installed. With `is_lazy`, at first use.
    """

    def __init__(
        self,
        url: Url | str,
        *,
        what: str = "database",
        replica: Url | str | None = None,
        is_replica_optional: bool = False,
        pool_size: int = 10,
        pool_timeout: Duration = "30s",
        clock: Clock | None = None,
        is_lazy: bool = False,
    ) -> None:
        self.what = what
        self._clock = clock or SystemClock()
        self._is_lazy = is_lazy
        self._is_replica_optional = is_replica_optional
        self._pool_size = _checked_size(pool_size)
        self._pool_timeout_s = to_seconds(pool_timeout, name="pool_timeout")
        self._driver = _driver_of(url, what)
        self._replica_driver = None if replica is None else _driver_of(replica, f"{what} (replica)")
        self._is_open = False
        self._primary: Node | None = None
        self._replica: Node | None = None
        self._replica_again_at = 0.0
        if not is_lazy:
            self._require_packages()

    @classmethod
    def from_url(cls, url: Url | str, *, what: str = "database", clock: Clock | None = None) -> Self:
        """Build the database that `url` names. Connects to nothing yet."""
        return cls(url, what=what, clock=clock)

    async def __aenter__(self) -> Self:
        if self._is_open:
            raise NotOpenError(f"{self.what} is open already", hint="open it in one place: the outermost")
        self._is_open = True
        try:
            if not self._is_lazy:
                await self._prove()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._close()

    def session(self, *, is_read_only: bool = False) -> AbstractAsyncContextManager[AsyncSession]:
        """Give a session, for you to commit: what was not committed is rolled back at the end.

        It takes a connection from the pool at its first statement and gives it back at each commit or rollback. Objects
        stay usable after a commit. On SQLite a session that is not read-only has the write lock from its first
        statement on.

        Raises:
            PoolExhaustedError: No connection came free in time. From the first statement, as every error of these.
            DatabaseUnavailableError: The database could not be reached.
        """
        return self._session(_call_site(), commits=False, is_read_only=is_read_only)

    def transaction(self, *, within: AsyncSession | None = None) -> AbstractAsyncContextManager[AsyncSession]:
        """Give a session that is committed at the end of the block, and rolled back when the block raises.

        Cancellation rolls back. When the connection breaks during the commit, `ConnectionLostError` says so in
        `is_outcome_unknown`.

        Args:
            within: A session whose transaction this becomes a part of, as a savepoint: only this part is rolled back.
        """
        node = self._open_primary()
        if within is not None:
            from undercroft.connections.sql._scopes import savepoint_scope

            return savepoint_scope(node, within)
        return self._session(_call_site(), commits=True, is_read_only=False)

    def read_session(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Give a read-only session: of the replica when there is one, otherwise of the database itself.

        What was just committed may not have reached a replica. A write is refused with `DatabaseNotWritableError`.
        """
        if self._replica_driver is None:
            return self._session(_call_site(), commits=False, is_read_only=True)
        return self._replica_session(_call_site())

    def connection(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Give a connection, for SQL without sessions; what you did not commit is rolled back at the end."""
        node = self._open_primary()
        from undercroft.connections.sql._scopes import connection_scope

        return connection_scope(node, _call_site())

    async def create_all(self, metadata: MetaData) -> None:
        """Create the tables that are missing, in one transaction where the database can. For development and tests."""
        async with self.connection() as connection:
            await connection.run_sync(metadata.create_all)
            await connection.commit()

    async def ping(self) -> None:
        """Ask the database for an answer; raises when there is none."""
        await self._open_primary().ask("SELECT 1")

    async def server_version(self) -> str:
        """Return the server's own words, such as `15.18 (Debian …)`, `10.11.19-MariaDB-…` or `3.40.1`."""
        node = self._open_primary()
        return str(await node.ask(_VERSION.get(node.dialect, "SELECT version()")))

    @property
    def dialect(self) -> DialectName:
        """What the server speaks. Before the first connection, what the URL says: a `mysql://` may be MariaDB."""
        return self._driver.dialect if self._primary is None else self._primary.dialect

    @property
    def engine(self) -> AsyncEngine:
        """SQLAlchemy's engine of the primary, with our pool and our errors. Do not dispose of it."""
        return self._open_primary().engine

    @property
    def pool_status(self) -> PoolStatus:
        """The primary's pool at this moment."""
        return _status(self._primary, self._rules(self._driver, self.what).size)

    @property
    def replica_pool_status(self) -> PoolStatus | None:
        """The replica's pool at this moment; `None` without a replica."""
        if self._replica_driver is None:
            return None
        return _status(self._replica, self._rules(self._replica_driver, self.what).size)

    def _session(self, site: Site, *, commits: bool, is_read_only: bool) -> AbstractAsyncContextManager[AsyncSession]:
        node = self._open_primary()
        from undercroft.connections.sql._scopes import session_scope

        return session_scope(node, site, commits=commits, is_read_only=is_read_only)

    @asynccontextmanager
    async def _replica_session(self, site: Site) -> AsyncIterator[AsyncSession]:
        node = await self._reading_node(site) if self._is_replica_optional else self._open_replica()
        from undercroft.connections.sql._scopes import session_scope

        async with session_scope(node, site, commits=False, is_read_only=True) as session:
            yield session

    async def _reading_node(self, site: Site) -> Node:
        """Return the replica if it gives us a connection, otherwise the primary, and that for the next seconds too."""
        now = self._clock.monotonic()
        if now < self._replica_again_at:
            return self._open_primary()
        replica = self._open_replica()
        from undercroft.connections.sql._scopes import connection_scope

        try:
            async with connection_scope(replica, site):
                return replica
        except PoolExhaustedError:
            raise
        except DatabaseUnavailableError as exc:
            self._replica_again_at = now + _REPLICA_AGAIN_S
            _log.warning(
                "the replica cannot be reached; reading from the primary", database=self.what, error=exc.message
            )
            return self._open_primary()

    async def _prove(self) -> None:
        await self.ping()
        if self._replica_driver is not None and not self._is_replica_optional:
            await self._open_replica().ask("SELECT 1")

    async def _close(self) -> None:
        self._is_open = False
        nodes = [node for node in (self._replica, self._primary) if node is not None]
        self._primary = self._replica = None
        for node in nodes:
            await node.close()

    def _open_primary(self) -> Node:
        if self._primary is None:
            self._primary = self._build(self._driver, self.what)
        return self._primary

    def _open_replica(self) -> Node:
        assert self._replica_driver is not None
        if self._replica is None:
            self._replica = self._build(self._replica_driver, f"{self.what} (replica)")
        return self._replica

    def _build(self, driver: Driver, what: str) -> Node:
        if not self._is_open:
            raise NotOpenError(f"{self.what} is not open", hint="use it inside of `async with database:`")
        self._require_packages()
        from undercroft.connections.sql._node import Node

        return Node(driver, self._rules(driver, what))

    def _rules(self, driver: Driver, what: str) -> PoolRules:
        size, timeout_s = driver.limits.size, driver.limits.timeout_s
        return PoolRules(
            size=self._pool_size if size is None else size,
            timeout_s=self._pool_timeout_s if timeout_s is None else timeout_s,
            clock=self._clock,
            what=what,
        )

    def _require_packages(self) -> None:
        for driver in (self._driver, self._replica_driver):
            if driver is not None:
                for package in driver.packages:
                    require_module(package, extra=driver.extra, needed_for=f"{self.what} ({driver.dialect})")

    def __repr__(self) -> str:
        return f"Database({self._driver.dialect}, {self._driver.place!r})"


def _driver_of(url: Url | str, what: str) -> Driver:
    return open_driver(Url.parse(url, what=what) if isinstance(url, str) else url, what=what)


def _checked_size(size: object) -> int:
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MAX_POOL_SIZE:
        raise ConfigError(f"pool_size {size!r} is not a whole number from 1 to {MAX_POOL_SIZE}")
    return size


def _status(node: Node | None, size: int) -> PoolStatus:
    if node is None:
        return PoolStatus(size=size, in_use=0, idle=0, waiting=0, oldest_use_s=0.0, exhausted_count=0)
    return node.pool.numbers


def _call_site() -> Site:
    """Return where the method that calls this was called."""
    frame = sys._getframe(2)  # noqa: SLF001 - the cheap way: inspect reads source files
    return frame.f_code.co_filename, frame.f_lineno
