"""PostgreSQL through asyncpg. Sessions have the time zone UTC.

URL: `postgresql://user:password@host:5432/db?ssl=prefer&connect_timeout_s=5&statement_timeout_s=60`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from undercroft._core.url import Url
from undercroft.connections.sql._errors import DatabaseError
from undercroft.connections.sql._options import PostgresOptions, bare_host, check_server, tls_context
from undercroft.connections.sql._postgres_errors import translate_postgres
from undercroft.connections.sql._protocol import DialectName

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
    from sqlalchemy.ext.asyncio import AsyncEngine

_PORT = 5432
_GRACE_S = 2.0
"""How much later than the server we give up a statement."""


class PostgresDriver:
    """One PostgreSQL database. See `Driver`."""

    extra: ClassVar[str] = "postgres"
    packages: ClassVar[tuple[str, ...]] = ("sqlalchemy", "greenlet", "asyncpg")
    is_remote: ClassVar[bool] = True
    read_only_options: ClassVar[Mapping[str, Any]] = {"postgresql_readonly": True}
    dialect: DialectName = "postgresql"

    def __init__(self, url: Url, database: str, options: PostgresOptions) -> None:
        self._url = url
        self._database = database
        self._options = options
        self.place = f"{url.host}:{url.port or _PORT}/{database}"
        self.limits = options.limits
        self.connect_timeout_s = options.connect_timeout_s

    @classmethod
    def from_url(cls, url: Url, *, what: str = "database") -> Self:
        """Make the driver of a `postgresql://` URL."""
        return cls(url, check_server(url, what=what), url.options_as(PostgresOptions, what=what))

    def engine_arguments(self) -> dict[str, Any]:
        """See `Driver`."""
        from sqlalchemy.engine import URL

        url = self._url
        return {
            "url": URL.create(
                "postgresql+asyncpg",
                username=url.user,
                password=url.password,
                host=bare_host(url.host),
                port=url.port or _PORT,
                database=self._database,
            ),
            "connect_args": {
                "ssl": self._tls(),
                "timeout": self._options.connect_timeout_s,
                "command_timeout": self._client_timeout(),
                "server_settings": {
                    "timezone": "UTC",
                    "application_name": "undercroft",
                    "statement_timeout": str(round(self._options.statement_timeout_s * 1000)),
                },
            },
        }

    def connect(self, dialect: Dialect, arguments: tuple[Any, ...], options: dict[str, Any]) -> DBAPIConnection:
        """See `Driver`."""
        from undercroft.connections.sql._postgres_connection import EndingConnection

        return cast("DBAPIConnection", EndingConnection.open(dialect, arguments, options))

    def listen(self, engine: AsyncEngine, read_only: AsyncEngine) -> None:
        """See `Driver`: nothing is particular."""

    def translate(self, exc: BaseException) -> DatabaseError | None:
        """See `Driver`."""
        return translate_postgres(exc, self.place)

    def _client_timeout(self) -> float | None:
        limit = self._options.statement_timeout_s
        return limit + _GRACE_S if limit else None

    def _tls(self) -> Any:
        mode = self._options.ssl
        if mode in ("off", "prefer"):
            return False if mode == "off" else "prefer"
        return tls_context(mode, self._options.ssl_ca)
