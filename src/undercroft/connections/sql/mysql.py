"""MySQL and MariaDB through asyncmy. Sessions have the time zone UTC.

URL: `mysql://user:password@host:3306/db?ssl=off&connect_timeout_s=5&statement_timeout_s=60`. With `mariadb://` the
types that only MariaDB has are used, and a MySQL server is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from undercroft._core.url import Url, UrlError
from undercroft.connections.sql._errors import DatabaseError
from undercroft.connections.sql._mysql_errors import translate_mysql
from undercroft.connections.sql._options import MysqlOptions, bare_host, check_server, tls_context
from undercroft.connections.sql._protocol import DialectName

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
    from sqlalchemy.ext.asyncio import AsyncEngine

_PORT = 3306
_GRACE_S = 2.0
"""How much later than the server we give up a statement."""


class MysqlDriver:
    """One database of a MySQL or MariaDB server. See `Driver`."""

    extra: ClassVar[str] = "mysql"
    packages: ClassVar[tuple[str, ...]] = ("sqlalchemy", "greenlet", "asyncmy")
    is_remote: ClassVar[bool] = True
    read_only_options: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, url: Url, database: str, options: MysqlOptions) -> None:
        self._url = url
        self._database = database
        self._options = options
        self.dialect: DialectName = "mariadb" if url.base_scheme == "mariadb" else "mysql"
        self.place = f"{url.host}:{url.port or _PORT}/{database}"
        self.limits = options.limits
        self.connect_timeout_s = options.connect_timeout_s

    @classmethod
    def from_url(cls, url: Url, *, what: str = "database") -> Self:
        """Make the driver of a `mysql://` or `mariadb://` URL."""
        database, options = check_server(url, what=what), url.options_as(MysqlOptions, what=what)
        if url.user is None:
            raise UrlError(
                f"{what}: {url.scheme}:// needs a user", hint=f"{url.base_scheme}://user:password@{url.host}/{database}"
            )
        return cls(url, database, options)

    def engine_arguments(self) -> dict[str, Any]:
        """See `Driver`."""
        from sqlalchemy.engine import URL

        url = self._url
        arguments: dict[str, Any] = {
            "init_command": self._session_settings(),
            "connect_timeout": self._options.connect_timeout_s,
        }
        if self._options.ssl != "off":
            arguments["ssl"] = tls_context(self._options.ssl, self._options.ssl_ca)
        return {
            "url": URL.create(
                f"{self.dialect}+asyncmy",
                username=url.user,
                password=url.password,
                host=bare_host(url.host),
                port=url.port or _PORT,
                database=self._database,
            ),
            "connect_args": arguments,
        }

    def connect(self, dialect: Dialect, arguments: tuple[Any, ...], options: dict[str, Any]) -> DBAPIConnection:
        """See `Driver`."""
        from undercroft.connections.sql._mysql_connection import TimedConnection

        limit = self._options.statement_timeout_s
        timeout_s = limit + _GRACE_S if limit else None
        connection = TimedConnection.open(dialect, arguments, options, timeout_s=timeout_s)
        return cast("DBAPIConnection", connection)

    def listen(self, engine: AsyncEngine, read_only: AsyncEngine) -> None:  # noqa: ARG002 - only the one
        """See `Driver`."""
        from sqlalchemy import event

        event.listen(read_only.sync_engine, "begin", _begin)

    def translate(self, exc: BaseException) -> DatabaseError | None:
        """See `Driver`."""
        return translate_mysql(exc, self.place)

    def _session_settings(self) -> str:
        settings, limit = "SET time_zone = '+00:00'", self._options.statement_timeout_s
        if limit:
            # Each of the two servers takes what it knows for a comment of its own; MySQL's limit is for SELECT only.
            settings += f" /*M!100101 , max_statement_time = {limit:g} */"
            settings += f" /*!50708 , max_execution_time = {round(limit * 1000)} */"
        return settings


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("START TRANSACTION READ ONLY")
