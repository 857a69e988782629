"""URL schemes and the databases behind them."""

from __future__ import annotations

from typing import cast

from undercroft._core.extras import Schemes
from undercroft._core.url import Url
from undercroft.connections.sql._protocol import Driver

_MYSQL = "undercroft.connections.sql.mysql:MysqlDriver"
_POSTGRES = "undercroft.connections.sql.postgres:PostgresDriver"
_SQLITE = "undercroft.connections.sql.sqlite:SqliteDriver"

SCHEMES = Schemes(
    "database",
    {
        "sqlite": _SQLITE,
        "sqlite+aiosqlite": _SQLITE,
        "mysql": _MYSQL,
        "mysql+asyncmy": _MYSQL,
        "mariadb": _MYSQL,
        "mariadb+asyncmy": _MYSQL,
        "postgres": _POSTGRES,
        "postgres+asyncpg": _POSTGRES,
        "postgresql": _POSTGRES,
        "postgresql+asyncpg": _POSTGRES,
    },
)


def open_driver(url: Url, *, what: str) -> Driver:
    """Make the driver for `url`. Imports no package and connects to nothing.

    Raises:
        ConfigError: No backend for this scheme, or the URL lacks something or has an unknown option.
    """
    return cast("Driver", SCHEMES.load(url, what=what).from_url(url, what=what))
